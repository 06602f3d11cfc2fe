"""`/api/v1/items`, from the outside."""

import json
from base64 import urlsafe_b64encode

import pytest
from fastapi.testclient import TestClient

URL = "/api/v1/items"


def create(client: TestClient, name: str) -> int:
    """Create an item and return its id."""
    response = client.post(URL, json={"name": name})
    assert response.status_code == 201
    return int(response.json()["id"])


def test_create_read_update_delete(client: TestClient) -> None:
    """An item goes through its life."""
    created = client.post(URL, json={"name": "  lamp ", "description": "bright"})
    assert created.status_code == 201
    location = created.headers["Location"]
    item = created.json()
    assert location == f"{URL}/{item['id']}"
    assert item["name"] == "lamp"
    assert item["created_at"].endswith("Z")

    assert client.get(location).json() == item

    updated = client.patch(location, json={"description": "dim"})
    assert updated.status_code == 200
    assert updated.json() | {"updated_at": ""} == item | {"description": "dim", "updated_at": ""}
    assert updated.json()["updated_at"] > item["updated_at"]
    assert client.get(location).json() == updated.json()

    deleted = client.delete(location)
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert client.get(location).status_code == 404


def test_what_a_patch_does_not_carry_stays(client: TestClient) -> None:
    """An empty patch changes nothing, null removes what may be absent and only that."""
    location = client.post(URL, json={"name": "lamp", "description": "x"}).headers["Location"]
    before = client.get(location).json()
    assert client.patch(location, json={}).json() == before
    assert client.patch(location, json={"description": None}).json()["description"] is None
    assert client.patch(location, json={"name": None}).status_code == 422
    assert client.get(location).json()["name"] == "lamp"


def test_names_are_unique(client: TestClient) -> None:
    """A second item of a name is refused, at creation and by a change, and nothing of it stays."""
    create(client, "lamp")
    other = create(client, "chair")
    refused = [
        client.post(URL, json={"name": "lamp"}),
        client.patch(f"{URL}/{other}", json={"name": "lamp", "description": "x"}),
    ]
    for response in refused:
        assert response.status_code == 409
        assert response.json()["type"] == "urn:problem-type:conflict"
        assert "lamp" not in response.json()["detail"]
    assert client.get(f"{URL}/{other}").json()["description"] is None
    assert len(client.get(URL).json()["items"]) == 2


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_unknown_item(client: TestClient, method: str) -> None:
    """An item that does not exist is not found."""
    body: dict[str, str] | None = {} if method == "PATCH" else None
    response = client.request(method, f"{URL}/{2**63 - 1}", json=body)
    assert response.status_code == 404
    assert response.json()["type"] == "urn:problem-type:not-found"


def test_pages(client: TestClient) -> None:
    """
    Pages are in the order of creation, complete, and not shifted by what is added or removed
    meanwhile.
    """
    ids = [create(client, f"item {n}") for n in range(5)]
    first = client.get(URL, params={"limit": 2}).json()
    assert [item["id"] for item in first["items"]] == ids[:2]
    create(client, "late")
    client.delete(f"{URL}/{ids[1]}")
    second = client.get(URL, params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert [item["id"] for item in second["items"]] == ids[2:4]
    third = client.get(URL, params={"limit": 2, "cursor": second["next_cursor"]}).json()
    assert [item["name"] for item in third["items"]] == ["item 4", "late"]
    assert third["next_cursor"] is None


def test_no_page_is_empty_but_the_only_one(client: TestClient) -> None:
    """A page that holds exactly the rest has no next one."""
    assert client.get(URL).json() == {"items": [], "next_cursor": None}
    create(client, "lamp")
    assert client.get(URL, params={"limit": 1}).json()["next_cursor"] is None


@pytest.mark.parametrize(
    "content", ['{"id": 9223372036854775808}', '{"id": true}', "[]", "{}", "1"]
)
def test_malformed_cursor(client: TestClient, content: str) -> None:
    """A cursor that we did not make is a bad request."""
    encoded = urlsafe_b64encode(content.encode()).decode()
    for cursor in (encoded, encoded[:3], "ä", "\x00", "!", ""):
        response = client.get(URL, params={"cursor": cursor})
        assert response.status_code == 400, cursor
        assert response.json()["type"] == "urn:problem-type:bad-request"


@pytest.mark.parametrize("limit", ["0", "201", "x", str(2**70)])
def test_limit_is_bounded(client: TestClient, limit: str) -> None:
    """A page holds 1 to 200 items."""
    assert client.get(URL, params={"limit": limit}).status_code == 422


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": " \t"},
        {"name": "x" * 201},
        {"name": "a\x00b"},
        {"name": "\ud800"},
        {"name": 1},
        {"name": "a", "description": "\x00"},
        {"name": "a", "description": "x" * 2001},
        {"name": "a", "colour": "red"},
        [],
    ],
    ids=str,
)
def test_what_cannot_be_stored_is_refused(client: TestClient, body: object) -> None:
    """The schema refuses what the database would."""
    headers = {"Content-Type": "application/json"}
    response = client.post(URL, content=json.dumps(body), headers=headers)
    assert response.status_code == 422
    assert response.json()["type"] == "urn:problem-type:validation"


def test_a_refusal_is_put_in_words(client: TestClient) -> None:
    """Clients are told what is wrong, not shown a regular expression."""
    response = client.post(URL, json={"name": "a\x00b", "description": "\x00"})
    for error in response.json()["errors"]:
        assert "must not contain NUL" in error["detail"]


def test_any_text_is_a_name(client: TestClient) -> None:
    """Text comes back as it went in, up to the longest."""
    for name in ("Ångström 灯 🛋\ufe0f", "a'; DROP TABLE items; --", "%s {} \\", "灯" * 200):
        response = client.post(URL, json={"name": name})
        assert response.status_code == 201
        assert client.get(response.headers["Location"]).json()["name"] == name


@pytest.mark.parametrize("item_id", ["0", "-1", "x", str(2**63), "1" * 5000])
def test_ids_out_of_range(client: TestClient, item_id: str) -> None:
    """An id that no row can have does not match the schema."""
    assert client.get(f"{URL}/{item_id}").status_code == 422
