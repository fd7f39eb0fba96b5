//! Which pages may make a browser send requests here.
//!
//! Browsers send forms to any address that a page names, without asking, and a page can give its
//! own name this machine's address (DNS rebinding). A Crane on loopback that asks for no token would
//! obey every page that its user visits.

use std::net::IpAddr;

use poem::{
    Request, Result,
    http::{Method, StatusCode, header, uri::Authority},
};

use super::error::Refused;

/// Refuses to change anything for a page of another site. Browsers say where a page is from (W3C
/// Fetch Metadata, `Sec-Fetch-Site`; RFC 6454, `Origin`); other clients say nothing.
pub(super) fn refuse_others(request: &Request) -> Result<()> {
    let changes = request.method() != Method::GET || request.uri().path() == "/extra/purge";
    if !changes {
        return Ok(());
    }
    let own_site = matches!(request.header("sec-fetch-site"), None | Some("same-origin" | "none"));
    let own_origin = request.header(header::ORIGIN).is_none_or(|origin| {
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        authority.is_some() && authority == request.header(header::HOST)
    });
    match own_site && own_origin {
        true => Ok(()),
        false => forbid("refused: a page of another site sent this request"),
    }
}

/// Refuses requests that were addressed to another name than this machine's own.
pub(super) fn refuse_other_hosts(request: &Request) -> Result<()> {
    let Some(host) = request.header(header::HOST) else { return Ok(()) };
    let own = host.parse::<Authority>().is_ok_and(|authority| {
        let host = authority.host();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|ip| ip.is_loopback())
    });
    match own {
        true => Ok(()),
        false => forbid(
            "refused: without CRANE_API_TOKEN only requests to localhost or a loopback address \
             are answered",
        ),
    }
}

fn forbid(description: &str) -> Result<()> {
    Err(Refused { status: StatusCode::FORBIDDEN, description: description.to_owned() }.into())
}
