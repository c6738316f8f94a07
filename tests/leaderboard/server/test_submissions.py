"""Uploads in pieces, once, by their owner; public status of submissions."""

import os
from pathlib import Path
from typing import Any

import pytest

from tasteshift.leaderboard.store.files import archive_path, upload_path
from tasteshift.leaderboard.store.submissions import add_event

DATA = os.urandom(3000)


def states(known: dict[str, Any]) -> list[str]:
    return [event["state"] for event in known["events"]]


def test_last_piece_queues_the_archive(service: Any) -> None:
    announced = service.announce(DATA)
    assert announced.status_code == 201
    assert announced.json() == {"id": 1, "offset": 0, "state": "receiving"}
    for offset in (0, 1000, 2000):
        assert service.follow(1)["state"] == "receiving"
        sent = service.send(1, offset, DATA[offset : offset + 1000])
        assert (sent.status_code, sent.json()) == (200, {"offset": offset + 1000})
    known = service.follow(1)
    assert known["kind"] == "run"
    assert known["owner"] == "ada"
    assert states(known) == ["receiving", "queued"]
    path = archive_path(service.state.board, known["about"]["sha256"])
    assert path.read_bytes() == DATA
    assert not upload_path(service.state.board, 1).exists()


def test_same_archive_is_one_submission_per_owner(service: Any) -> None:
    service.announce(DATA)
    service.send(1, 0, DATA[:1000])
    again = service.announce(DATA)
    assert (again.status_code, again.json()["id"], again.json()["offset"]) == (200, 1, 1000)
    other = service.announce(DATA, "bob")
    assert (other.status_code, other.json()["id"], other.json()["offset"]) == (201, 2, 0)
    service.send(1, 1000, DATA[1000:])
    done = service.announce(DATA).json()
    assert done == {"id": 1, "offset": len(DATA), "state": "queued"}
    assert service.announce(DATA, "bob").json()["offset"] == 0, (
        "a known hash does not give access to the bytes"
    )


def test_wrong_offset_returns_the_right_one(service: Any) -> None:
    service.announce(DATA)
    service.send(1, 0, DATA[:1000])
    for offset in (0, 999, 1001):
        sent = service.send(1, offset, DATA[offset : offset + 10])
        assert sent.status_code == 409
        assert sent.headers["content-type"] == "application/problem+json"
        assert sent.json()["offset"] == 1000
    service.send(1, 1000, DATA[1000:])
    late = service.send(1, 1000, DATA[1000:])
    assert (late.status_code, late.json()["offset"]) == (409, len(DATA))
    assert states(service.follow(1)) == ["receiving", "queued"]


def test_more_bytes_than_announced_are_refused(service: Any) -> None:
    service.announce(DATA)
    assert service.send(1, 0, DATA + b"x").status_code == 413
    assert service.announce(DATA).json()["offset"] == 0
    other = service.announce(DATA, size=len(DATA) + 1)
    assert (other.status_code, "3000" in other.json()["detail"]) == (409, True)


def test_wrong_hash_restarts_the_upload(service: Any) -> None:
    service.announce(DATA)
    for _ in range(3):
        sent = service.send(1, 0, bytes(len(DATA)))
        assert (sent.status_code, sent.json()["offset"]) == (409, 0)
        assert "hash" in sent.json()["detail"]
    assert states(service.follow(1)) == ["receiving"], "wrong bytes add no events"
    assert service.send(1, 0, DATA).json() == {"offset": len(DATA)}
    assert service.follow(1)["state"] == "queued"


def test_only_the_owner_and_admins_upload(service: Any) -> None:
    service.announce(DATA)
    refused = service.send(1, 0, DATA, "bob")
    assert refused.status_code == 403
    assert refused.headers["www-authenticate"].startswith("Bearer")
    service.bearer("root", "admin")
    assert service.send(1, 0, DATA, "root").status_code == 200


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"sha256": "A" * 64}, 422),
        ({"sha256": "0" * 63}, 422),
        ({"sha256": "../" * 20 + "abcd"}, 422),
        ({"size": 0}, 422),
        ({"size": -1}, 422),
        ({"size": 2**40}, 422),
        ({"size": "10"}, 422),
        ({"size": 10.5}, 422),
        ({"size": True}, 422),
        ({"path": "/etc/passwd"}, 422),
    ],
)
def test_announcements_are_validated_strictly(
    service: Any, changes: dict[str, Any], status: int
) -> None:
    answer = service.announce(DATA, **changes)
    assert answer.status_code == status
    assert answer.json()["status"] == status
    assert "\n" not in answer.json()["detail"]
    assert service.client.get("/api/v2/submissions/1").status_code == 404


@pytest.mark.parametrize("number", ["0", "-1", "1e3", "99999999999999999999", "..%2f..", "1%00"])
def test_submission_ids_must_be_integers(service: Any, number: str) -> None:
    assert service.client.get(f"/api/v2/submissions/{number}").status_code in (404, 422)
    headers = service.bearer("ada") | {"Upload-Offset": "0"}
    sent = service.client.patch(f"/api/v2/submissions/{number}/archive", headers=headers)
    assert sent.status_code in (404, 405, 415, 422)


def test_pieces_need_content_type_and_offset(service: Any) -> None:
    service.announce(DATA)
    path, headers = "/api/v2/submissions/1/archive", service.bearer("ada")
    wrong = headers | {"Content-Type": "application/json", "Upload-Offset": "0"}
    assert service.client.patch(path, content=DATA, headers=wrong).status_code == 415
    piece = {"Content-Type": "application/offset+octet-stream"}
    for offset in ({}, {"Upload-Offset": "-1"}, {"Upload-Offset": "x"}):
        sent = service.client.patch(path, content=DATA, headers=headers | piece | offset)
        assert sent.status_code == 422
    assert service.announce(DATA).json()["offset"] == 0


def test_open_uploads_are_limited(serve: Any) -> None:
    service = serve(open_uploads=2)
    assert service.announce(b"one").status_code == 201
    assert service.announce(b"two").status_code == 201
    third = service.announce(b"three")
    assert (third.status_code, "Retry-After" in third.headers) == (429, True)
    assert service.announce(b"three", "bob").status_code == 201
    assert service.announce(b"one").status_code == 200
    assert service.send(1, 0, b"one").status_code == 200
    assert service.announce(b"three").status_code == 429
    add_event(service.state.board, 1, "working", "", after=1)
    add_event(service.state.board, 1, "refused", "", after=2)
    assert service.announce(b"three").status_code == 201


def test_public_status_has_no_paths_or_tokens(service: Any, tmp_path: Path) -> None:
    service.announce(DATA)
    service.send(1, 0, DATA)
    text = service.client.get("/api/v2/submissions/1").text
    assert str(tmp_path) not in text
    assert service.tokens["ada"] not in text
