"""
docs/contract.md, "Paths, versions, pagination": of every kind of application by its production command, and of the default by every other server.
"""

from __future__ import annotations

import uuid
from typing import Any

import httpx2
import pytest

from tests.boot.serving import Served
from tests.boot.test_contract_errors import is_problem


def create(items: Served, **members: Any) -> dict[str, Any]:
    """An item with a name that nobody else uses."""
    answer = items.request("POST", "/api/v1/items", json={"name": f"item {uuid.uuid4()}"} | members)
    assert answer.status_code == 201, answer.text
    created: dict[str, Any] = answer.json()
    return created


def test_a_post_answers_201_with_its_location(items: Served) -> None:
    """
    An item that was created is found where Location says.
    """
    answer = items.request("POST", "/api/v1/items", json={"name": f"located {uuid.uuid4()}"})
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/api/v1/items/{answer.json()['id']}"
    found = items.get(answer.headers["location"])
    assert (found.status_code, found.json()) == (200, answer.json())


def test_a_write_is_seen_by_the_next_request_whoever_serves_it(items: Served) -> None:
    """
    201 means committed: a read over another connection, by another worker, never misses it.
    """
    for _ in range(20):
        location = f"/api/v1/items/{create(items)['id']}"
        assert httpx2.get(items.service.base_url + location).status_code == 200


def test_a_patch_changes_what_it_carries(items: Served) -> None:
    """
    Absent members stay as they are.
    """
    created = create(items, description="before")
    changed = items.request("PATCH", f"/api/v1/items/{created['id']}", json={"description": "after"})
    assert changed.status_code == 200
    assert (changed.json()["name"], changed.json()["description"]) == (created["name"], "after")


def test_a_delete_answers_204(items: Served) -> None:
    """
    Without a body; the resource is gone.
    """
    path = f"/api/v1/items/{create(items)['id']}"
    deleted = items.request("DELETE", path)
    assert (deleted.status_code, deleted.content) == (204, b"")
    is_problem(items.get(path), 404, "not-found")


def test_pages_are_complete_and_stable_while_rows_are_added(items: Served) -> None:
    """
    Following next_cursor shows every row once, in order of creation, also when some are created meanwhile.
    """
    created = [create(items)["id"] for _ in range(7)]
    seen: list[int] = []
    cursor: str | None = ""
    while cursor is not None:
        page = items.get(f"/api/v1/items?limit=3{f'&cursor={cursor}' if cursor else ''}").json()
        assert set(page) == {"items", "next_cursor"}
        assert len(page["items"]) <= 3
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if len(seen) < 7:
            create(items)
    assert seen == sorted(set(seen))
    assert set(created) <= set(seen)


def test_a_page_holds_fifty_unless_asked(items: Served) -> None:
    """
    The default limit is 50.
    """
    for _ in range(51):
        create(items)
    page = items.get("/api/v1/items").json()
    assert len(page["items"]) == 50
    assert page["next_cursor"] is not None


@pytest.mark.parametrize(("limit", "status"), [(0, 422), (1, 200), (200, 200), (201, 422), ("x", 422)])
def test_a_limit_is_from_1_to_200(items: Served, limit: object, status: int) -> None:
    """
    Anything else does not match the schema.
    """
    answer = items.get(f"/api/v1/items?limit={limit}")
    assert answer.status_code == status
    if status == 422:
        errors = is_problem(answer, 422, "validation")["errors"]
        assert isinstance(errors, list)
        assert [error["pointer"] for error in errors] == ["/query/limit"]


def test_a_cursor_that_we_did_not_make_is_a_bad_request(items: Served) -> None:
    """
    Opaque to clients, checked by us.
    """
    is_problem(items.get("/api/v1/items?cursor=forged"), 400, "bad-request")


def test_without_data_the_example_answers_the_same_from_every_worker(served: Served) -> None:
    """
    Lists have the shape of lists, whether anything is stored or not.
    """
    path = "/api/v1/items" if served.facts["has_database"] else "/api/v1/zones"
    page = served.get(path).json()
    assert set(page) == {"items", "next_cursor"}
    assert isinstance(page["items"], list)


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json"])
def test_the_documentation_is_off_in_production(served: Served, path: str) -> None:
    """
    Unless DOCS_ENABLED says otherwise.
    """
    is_problem(served.get(path), 404, "not-found")
