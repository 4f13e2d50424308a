"""What a browser's request must prove, and what its cookies are like."""

from __future__ import annotations

import pytest
from starlette.requests import Request
from starlette.responses import Response

from policies.errors import ProtocolError
from server.console.site import Site, form_token_fits, read_fields

SECURE = Site.of("https://Ostiary.example.com/")


def request(**headers: str) -> Request:
    raw = [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()]
    return Request({"type": "http", "headers": raw})


def test_cookies_are_for_this_host_over_tls_alone() -> None:
    answer = Response()
    SECURE.set_cookie(answer, "session", "value", seconds=60)
    cookie = answer.headers["set-cookie"]
    name, *attributes = cookie.split("; ")
    assert name == "__Host-ostiary_session=value"
    assert {a.lower() for a in attributes} == {
        *("httponly", "max-age=60", "path=/", "samesite=lax", "secure")
    }


def test_over_loopback_http_two_gateways_do_not_share_a_cookie() -> None:
    names = {Site.of(f"http://127.0.0.1:{port}").cookie("session") for port in (8000, 8001)}
    assert len(names) == 2
    assert not any(name.startswith("__Host-") for name in names)


def test_a_dropped_cookie_is_the_one_that_was_set() -> None:
    answer = Response()
    SECURE.drop_cookie(answer, "session")
    assert answer.headers["set-cookie"].startswith('__Host-ostiary_session=""; ')
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert "Secure" in answer.headers["set-cookie"]


def test_a_gateway_below_a_path_has_its_pages_there() -> None:
    site = Site.of("https://example.com/ostiary/")
    assert site.approvals == "/ostiary/approvals"
    assert site.url == "https://example.com/ostiary/approvals"
    assert site.origin == "https://example.com"


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://ostiary.example.com", "sec_fetch_site": "same-origin"},
        {"origin": "https://ostiary.example.com"},
    ],
)
def test_a_form_of_this_site_is_known_by_its_origin(headers: dict[str, str]) -> None:
    assert SECURE.sent(request(**headers))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec_fetch_site": "same-origin"},
        {"referer": "https://ostiary.example.com/approvals"},
        {"origin": "null", "sec_fetch_site": "same-origin"},
        {"origin": "null"},
        {"origin": "http://ostiary.example.com"},
        {"origin": "https://ostiary.example.com:8443"},
        {"origin": "https://ostiary.example.com.evil.example"},
        {"origin": "https://evil.example"},
        {"origin": "https://ostiary.example.com", "sec_fetch_site": "cross-site"},
        {"origin": "https://ostiary.example.com", "sec_fetch_site": "same-site"},
        {"origin": "https://ostiary.example.com", "sec_fetch_site": "none"},
    ],
)
def test_a_form_of_any_other_is_not_this_sites(headers: dict[str, str]) -> None:
    assert not SECURE.sent(request(**headers))


def test_a_form_says_each_thing_once() -> None:
    assert read_fields(b"act=deny&comment=a+b%0d%0a%C3%A9") == {
        "act": "deny",
        "comment": "a b\r\né",
    }
    for broken in (b"act=deny&act=approve", b"a=%ff", b"\xff=1", b"&".join([b"a=1"] * 17)):
        with pytest.raises(ProtocolError):
            read_fields(broken)


@pytest.mark.parametrize("fields", [{}, {"token": ""}, {"token": "a" * 63}, {"token": "é"}])
def test_a_form_token_fits_as_a_whole_or_not_at_all(fields: dict[str, str]) -> None:
    assert form_token_fits({"token": "a" * 64}, "a" * 64)
    assert not form_token_fits(fields, "a" * 64)
