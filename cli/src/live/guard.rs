// SPDX-License-Identifier: MPL-2.0
//! Access control of the API.
//!
//! With a token, requests need it. Without one, which only a loopback address allows, programs and browsers of this
//! machine have access. But a browser also shows pages of other sites, which must not reach the API under a host name
//! of their own (DNS rebinding) or from their own page (cross-site requests). So `Host` and `Origin` are checked, and
//! `Sec-Fetch-Site`, because browsers send no `Origin` with the GET for an image on another site's page. Responses have
//! `Cross-Origin-Resource-Policy`, with which browsers keep them from such pages if a request was allowed all the same.

use std::net::IpAddr;
use std::sync::Arc;

use anyhow::{Result, bail};
use axum::extract::{Query, Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::error::ApiError;
use super::{App, Args};

/// Shortest token, bytes.
const SHORTEST: usize = 8;

/// The server's access control.
pub struct Guard {
    /// SHA-256 of the token. Hashes are compared, so that the time of the comparison reveals nothing about the token.
    token: Option<[u8; 32]>,
}

/// Query of a request.
#[derive(Deserialize)]
struct Secret {
    token: Option<String>,
}

impl Guard {
    /// Also returns the token if it was generated, to be printed.
    ///
    /// # Errors
    /// If the token is shorter than [`SHORTEST`].
    pub fn new(args: &Args) -> Result<(Self, Option<String>)> {
        let made = match &args.token {
            Some(token) if token.len() < SHORTEST => {
                bail!(
                    "--token has {} characters; give at least {SHORTEST}",
                    token.len()
                )
            }
            None if !args.listen.ip().is_loopback() => Some(random()?),
            _ => None,
        };
        let token = args.token.as_ref().or(made.as_ref());
        let guard = Self {
            token: token.map(|token| checksum(token)),
        };
        Ok((guard, made))
    }

    fn check(&self, headers: &HeaderMap, query: Option<&str>) -> Result<(), ApiError> {
        let Some(token) = &self.token else {
            return local(headers);
        };
        let bearer = text(headers, header::AUTHORIZATION)
            .and_then(|value| value.strip_prefix("Bearer "))
            .map(str::to_owned);
        match bearer.or_else(|| query.map(str::to_owned)) {
            Some(given) if checksum(&given) == *token => Ok(()),
            Some(_) => Err(ApiError::new(
                StatusCode::UNAUTHORIZED,
                "the token is wrong; the server printed the right one when it started",
            )),
            None => Err(ApiError::new(
                StatusCode::UNAUTHORIZED,
                "a token is needed: send the header \"Authorization: Bearer TOKEN\" or ?token=TOKEN",
            )),
        }
    }
}

/// 128 random bits, in hexadecimal.
pub fn random() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn checksum(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// Checks a request to a server without a token.
fn local(headers: &HeaderMap) -> Result<(), ApiError> {
    let refuse = |what: &str, value: &str| {
        Err(ApiError::new(
            StatusCode::FORBIDDEN,
            format!(
                "{what} is \"{value}\", but without a token this server answers to localhost only; start it with --token to use another name"
            ),
        ))
    };
    let host = text(headers, header::HOST).unwrap_or_default();
    if !is_local(host) {
        return refuse("Host", host);
    }
    // `none`: the user entered the URL. `same-site` is refused: another port of this machine belongs to another
    // program.
    match headers.get("sec-fetch-site").map(HeaderValue::as_bytes) {
        None | Some(b"same-origin" | b"none") => (),
        Some(site) => return refuse("Sec-Fetch-Site", &String::from_utf8_lossy(site)),
    }
    match headers.get(header::ORIGIN) {
        None => Ok(()),
        Some(origin) => match origin.to_str().unwrap_or_default().split_once("://") {
            Some((_, origin)) if origin == host => Ok(()),
            _ => refuse("Origin", &String::from_utf8_lossy(origin.as_bytes())),
        },
    }
}

fn is_local(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else {
        return false;
    };
    let name = authority.host();
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Middleware of all routes except the page itself.
pub async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let query = Query::<Secret>::try_from_uri(request.uri()).ok();
    let token = query.and_then(|Query(secret)| secret.token);
    match app.guard.check(request.headers(), token.as_deref()) {
        Ok(()) => next.run(request).await,
        Err(err) => err.into_response(),
    }
}

/// Middleware of all responses: they are not readable by pages of other origins, and their media type is not guessed.
pub async fn isolate(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(
        "cross-origin-resource-policy",
        HeaderValue::from_static("same-origin"),
    );
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::fuzz;

    #[test]
    fn access_needs_the_token_or_a_local_host() {
        let secret = Guard {
            token: Some(checksum("a long secret")),
        };
        let local = Guard { token: None };
        // The lines are `Host`, `Origin`, `Authorization` and the token in the URL.
        let seeds = [
            "localhost:8080\nhttp://localhost:8080\nBearer a long secret\n",
            "127.0.0.1:8080\n\n\na long secret",
            "example.org\nhttps://example.org\nBearer another\nx",
        ];
        let (mut inside, mut here) = (0, 0);
        fuzz::each(&seeds, |bytes| {
            let mut headers = HeaderMap::new();
            let mut lines = bytes.split(|byte| *byte == b'\n');
            for name in [header::HOST, header::ORIGIN, header::AUTHORIZATION] {
                let value = HeaderValue::from_bytes(lines.next().unwrap_or_default());
                if let Some(value) = value.ok().filter(|value| !value.is_empty()) {
                    headers.insert(name, value);
                }
            }
            let token = lines.next().and_then(|line| std::str::from_utf8(line).ok());
            if secret.check(&headers, token).is_ok() {
                inside += 1;
                let bearer = text(&headers, header::AUTHORIZATION);
                assert!(bearer == Some("Bearer a long secret") || token == Some("a long secret"));
            }
            if local.check(&headers, token).is_ok() {
                here += 1;
                let host = text(&headers, header::HOST).unwrap_or_default();
                let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
                assert!(
                    name == "localhost" || host.contains("127.") || host.contains("::1"),
                    "{host}"
                );
            }
        });
        assert!(inside > 100 && here > 100, "{inside}, {here}");
    }
}
