"""Administration: tokens and scopes, seasons, invalidations, the audit."""

import hashlib
from typing import Any

import pytest

from tasteshift.leaderboard.store.seasons import secret
from tasteshift.leaderboard.store.tokens import authenticate

ADMIN = [
    ("POST", "/api/v2/admin/tokens"),
    ("DELETE", "/api/v2/admin/tokens/bob"),
    ("POST", "/api/v2/admin/seasons"),
    ("POST", "/api/v2/admin/submissions/1/invalidation"),
    ("GET", "/api/v2/audit"),
]
SEASON = {
    "name": "spring",
    "suite": "board-test@1",
    "opens": "2026-01-01T00:00:00Z",
    "closes": "2030-01-01T01:00:00+01:00",
}


@pytest.mark.parametrize(("method", "path"), ADMIN)
def test_admin_routes_need_scope_admin(service: Any, method: str, path: str) -> None:
    for headers in ({}, {"Authorization": "Basic YTpi"}, {"Authorization": "Bearer unknown.x"}):
        answer = service.client.request(method, path, headers=headers, json={})
        assert answer.status_code == 401 or (method == "POST" and answer.status_code == 422)
        if answer.status_code == 401:
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    answer = service.client.request(method, path, headers=service.bearer("ada"))
    assert answer.status_code in (403, 422)


def test_token_is_issued_once_and_revoked(service: Any) -> None:
    admin = service.bearer("root", "admin")
    asked = {"name": "bob", "scope": "submit"}
    made = service.client.post("/api/v2/admin/tokens", json=asked, headers=admin)
    assert made.status_code == 201
    token = made.json()["token"]
    known = authenticate(service.state.board, token)
    assert known is not None
    assert (known.name, known.scope) == ("bob", "submit")
    again = service.client.post("/api/v2/admin/tokens", json=asked, headers=admin)
    assert again.status_code == 409
    service.tokens["bob"] = token
    assert service.announce(b"one", "bob").status_code == 201
    for status in (204, 404):
        answer = service.client.delete("/api/v2/admin/tokens/bob", headers=admin)
        assert answer.status_code == status
    assert service.announce(b"two", "bob").status_code == 401
    audit = service.client.get("/api/v2/audit", headers=admin).json()
    bob = next(one for one in audit["tokens"] if one["name"] == "bob")
    assert bob["revoked"] is not None
    assert token not in str(audit)
    assert hashlib.sha256(token.encode()).hexdigest() not in str(audit)


@pytest.mark.parametrize("name", ["", "-x", "Ada", "a/b", "..", "a b", "a" * 65, "ä"])
def test_token_names_are_restricted(service: Any, name: str) -> None:
    admin = service.bearer("root", "admin")
    asked = {"name": name, "scope": "submit"}
    made = service.client.post("/api/v2/admin/tokens", json=asked, headers=admin)
    assert made.status_code == 422


def test_season_publishes_commitment_first_and_secret_after(service: Any) -> None:
    admin = service.bearer("root", "admin")
    made = service.client.post("/api/v2/admin/seasons", json=SEASON, headers=admin)
    assert made.status_code == 201
    assert made.json()["opens"] == "2026-01-01T00:00:00+00:00"
    assert made.json()["closes"] == "2030-01-01T00:00:00+00:00"
    again = service.client.post("/api/v2/admin/seasons", json=SEASON, headers=admin)
    assert again.status_code == 409
    (public,) = service.client.get("/api/v2/seasons").json()
    key = secret(service.state.board, "spring")
    assert public["secret"] is None
    assert key.hex() not in service.client.get("/api/v2/audit", headers=admin).text
    service.clock[0] = 1_900_000_000.0
    (public,) = service.client.get("/api/v2/seasons").json()
    assert public["secret"] == key.hex()
    assert public["commitment"] == made.json()["commitment"]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"closes": "2026-01-01T00:00:00Z"}, 409),
        ({"suite": "board-test@9"}, 409),
        ({"suite": "nonsense"}, 409),
        ({"opens": "2026-01-01T00:00:00"}, 422),
        ({"opens": "yesterday"}, 422),
        ({"opens": 0}, 422),
        ({"opens": "0001-01-01T00:00:00+14:00"}, 422),
        ({"name": "../../etc"}, 422),
        ({"secret": "00" * 32}, 422),
    ],
)
def test_invalid_seasons_are_refused(service: Any, changes: dict[str, Any], status: int) -> None:
    admin = service.bearer("root", "admin")
    made = service.client.post("/api/v2/admin/seasons", json=SEASON | changes, headers=admin)
    assert made.status_code == status
    assert service.client.get("/api/v2/seasons").json() == []


def test_only_accepted_submissions_can_be_invalidated(service: Any) -> None:
    admin = service.bearer("root", "admin")
    path = "/api/v2/admin/submissions/1/invalidation"
    body = {"reason": "its clock stood still"}
    assert service.client.post(path, json=body, headers=admin).status_code == 404
    service.announce(b"one")
    assert service.client.post(path, json=body, headers=admin).status_code == 409
    for wrong in ({"reason": ""}, {"reason": "a\nb"}, {}, {"reason": "x" * 501}):
        assert service.client.post(path, json=wrong, headers=admin).status_code == 422


def test_audit_is_paged(service: Any) -> None:
    admin = service.bearer("root", "admin")
    for k in range(5):
        service.announce(b"%d" % k)
    seen, after = [], 0
    for _ in range(10):
        page = service.client.get(
            "/api/v2/audit", params={"after": after, "limit": 2}, headers=admin
        ).json()
        seen += [one["id"] for one in page["submissions"]]
        if page["next"] is None:
            break
        after = page["next"]
    assert seen == [1, 2, 3, 4, 5]
    for limit in ("0", "1001", "x"):
        query = {"limit": limit}
        answer = service.client.get("/api/v2/audit", params=query, headers=admin)
        assert answer.status_code == 422
