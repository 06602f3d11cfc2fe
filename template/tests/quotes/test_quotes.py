"""`/api/v1/quotes` and `/api/v1/zones`."""

import pytest
from fastapi.testclient import TestClient

URL = "/api/v1/quotes"


@pytest.mark.parametrize(("grams", "cents"), [(1, 450), (1000, 450), (1001, 510), (31_500, 2310)])
def test_every_begun_kilogram_counts(client: TestClient, grams: int, cents: int) -> None:
    """The price is the base and each kilogram, rounded up."""
    response = client.post(URL, json={"zone": "domestic", "grams": grams})
    assert response.status_code == 200
    assert response.json() == {"zone": "domestic", "grams": grams, "cents": cents, "days": 2}


def test_zones(client: TestClient) -> None:
    """Every zone that is listed takes a parcel of the weight it names, and no more."""
    page = client.get("/api/v1/zones").json()
    assert page["next_cursor"] is None
    assert [zone["name"] for zone in page["items"]] == ["domestic", "continental", "worldwide"]
    for zone in page["items"]:
        body = {"zone": zone["name"], "grams": zone["max_grams"]}
        assert client.post(URL, json=body).json()["days"] == zone["days"]
        response = client.post(URL, json=body | {"grams": zone["max_grams"] + 1})
        assert response.status_code == 409
        assert response.json()["type"] == "urn:problem-type:conflict"


def test_unknown_zone(client: TestClient) -> None:
    """A zone that does not exist is not found, and not repeated."""
    response = client.post(URL, json={"zone": "moon", "grams": 1})
    assert response.status_code == 404
    assert "moon" not in response.text


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"zone": "domestic", "grams": 0},
        {"zone": "domestic", "grams": 2**70},
        {"zone": "domestic", "grams": "heavy"},
        {"zone": "Domestic ", "grams": 1},
        {"zone": "domestic\n", "grams": 1},
        {"zone": "domestic", "grams": 1, "colour": "red"},
    ],
    ids=str,
)
def test_what_is_no_parcel_is_refused(client: TestClient, body: object) -> None:
    """A body that does not match the schema is 422."""
    assert client.post(URL, json=body).status_code == 422
