// SPDX-License-Identifier: MPL-2.0
//! The routes of the HTTP server and their handlers, except those of HLS (`hls_api`) and events (`events`).

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Json, http};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::App;
use super::controls::{self, Change, StyleChange, Values};
use super::error::ApiError;
use super::events::events;
use super::guard::{guard, isolate};
use super::hls_api;
use super::seats::seat;
use super::serve::limit;

/// Largest body of a request, bytes; SDP offers of browsers have a few kilobytes.
const LARGEST_BODY: usize = 64 * 1024;

const HTML: &str = include_str!("page/index.html");
const CSS: &str = include_str!("page/style.css");
const SCRIPT: &str = include_str!("page/app.js");
const OPENAPI: &str = include_str!("page/openapi.json");

/// Content security policy of the page: nothing from other origins, even if the page has a bug.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

type Answer<T> = Result<T, ApiError>;
type Server = State<Arc<App>>;

/// The routes; those of the API need access, see `guard`.
pub fn router(app: Arc<App>) -> Router {
    let guarded = Router::new()
        .route("/api/styles", get(styles))
        .route("/api/styles/{file}", get(tile))
        .route("/api/style", post(set_style))
        .route("/api/controls", get(controls).post(set_controls))
        .route("/api/stats", get(stats))
        .route("/api/openapi.json", get(openapi))
        .route("/api/events", get(events))
        .route("/whep", post(whep))
        .route("/whep/{id}", any(session))
        .route("/stream.mjpeg", get(mjpeg))
        .route("/live.m3u8", get(hls_api::live))
        .route("/hls/{file}", get(hls_api::file))
        .route_layer(from_fn_with_state(app.clone(), guard));
    Router::new()
        .route("/", get(page))
        .route("/style.css", get(async || file("text/css", CSS)))
        .route("/app.js", get(async || file("text/javascript", SCRIPT)))
        .merge(guarded)
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(from_fn(limit))
        .layer(map_response(isolate))
        .with_state(app)
}

async fn page() -> Response {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, file("text/html; charset=utf-8", HTML)).into_response()
}

/// A file of the page. Revalidated at each use, because another version of the program may have another one.
fn file(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-cache"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, text).into_response()
}

/// 404 for unknown paths.
async fn not_found(uri: http::Uri) -> ApiError {
    let text = format!(
        "there is no {}; /api/openapi.json lists what there is",
        uri.path()
    );
    ApiError::new(StatusCode::NOT_FOUND, text)
}

/// 405 for known paths.
async fn method_not_allowed(method: http::Method, uri: http::Uri) -> ApiError {
    let text = format!(
        "{} does not take {method}; /api/openapi.json lists what it takes",
        uri.path()
    );
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, text)
}

/// Parses a JSON body. Not axum's `Json`, because its rejections are not JSON.
fn parse<T: DeserializeOwned>(body: Result<Bytes, impl std::fmt::Display>) -> Answer<T> {
    let body = body.map_err(too_large)?;
    serde_json::from_slice(&body).map_err(|err| match err.classify() {
        serde_json::error::Category::Data => ApiError::value(err.to_string()),
        _ => ApiError::new(
            StatusCode::BAD_REQUEST,
            format!("the body is not JSON: {err}; /api/openapi.json shows what to send"),
        ),
    })
}

fn too_large(err: impl std::fmt::Display) -> ApiError {
    let text = format!("{err}; send at most {LARGEST_BODY} bytes");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, text)
}

type Body = Result<Bytes, axum::extract::rejection::BytesRejection>;

async fn styles(State(app): Server) -> Json<Vec<String>> {
    Json(app.styles())
}

/// `GET /api/styles/STYLE.jpg`: a style's tile.
async fn tile(State(app): Server, Path(file): Path<String>) -> Answer<Response> {
    let style = file.strip_suffix(".jpg").unwrap_or(&file);
    if let Some(jpeg) = app.tiles.get(style) {
        let headers = [
            (header::CONTENT_TYPE, "image/jpeg"),
            // Painted from a frame of the source at the start of the server, so it changes with each start.
            (header::CACHE_CONTROL, "no-cache"),
        ];
        return Ok((headers, jpeg).into_response());
    }
    if app.styles().iter().any(|name| name == style) {
        return Err(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{style} is not painted yet; ask again in a moment"),
        ));
    }
    let text = format!("there is no style \"{style}\"; /api/styles lists them");
    Err(ApiError::new(StatusCode::NOT_FOUND, text))
}

async fn set_style(State(app): Server, body: Body) -> Answer<Json<controls::State>> {
    app.change_style(parse::<StyleChange>(body)?).await?;
    Ok(Json(app.state()))
}

async fn controls(State(app): Server) -> Json<Values> {
    Json(app.values())
}

async fn set_controls(State(app): Server, body: Body) -> Answer<Json<controls::State>> {
    app.change_controls(parse::<Change>(body)?)?;
    Ok(Json(app.state()))
}

async fn stats(State(app): Server) -> Json<Value> {
    Json(app.stats())
}

async fn openapi() -> Response {
    file("application/json", OPENAPI)
}

/// `POST /whep`: adds a viewer. The body is an SDP offer; the response is 201 with the answer, and a `Location` to end
/// the session.
async fn whep(State(app): Server, headers: HeaderMap, body: Body) -> Answer<Response> {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("application/sdp") {
        return Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("Content-Type is \"{kind}\"; send an offer as application/sdp"),
        ));
    }
    let offer = body.map_err(too_large)?;
    let offer = str::from_utf8(&offer).map_err(|_| ApiError::value("the offer is not UTF-8"))?;
    // Before the offer is processed, which is expensive.
    let seat = seat(&app)?;
    let (id, answer) = app.viewers.add(&app.output, offer, seat).await?;
    app.changed.send_replace(());
    let headers = [
        (header::CONTENT_TYPE, "application/sdp".to_owned()),
        (header::LOCATION, format!("/whep/{id}")),
    ];
    Ok((StatusCode::CREATED, headers, answer).into_response())
}

/// `DELETE /whep/ID`: ends a session.
async fn session(
    State(app): Server,
    method: http::Method,
    Path(id): Path<String>,
) -> Answer<StatusCode> {
    if method != http::Method::DELETE {
        // WHEP requires 405 for PATCH, too, where trickle ICE is not supported.
        let text = "a session takes DELETE only";
        return Err(ApiError::new(StatusCode::METHOD_NOT_ALLOWED, text));
    }
    if !app.viewers.remove(&id) {
        let text = "this session has ended, or there was none";
        return Err(ApiError::new(StatusCode::NOT_FOUND, text));
    }
    app.changed.send_replace(());
    Ok(StatusCode::OK)
}

async fn mjpeg(State(app): Server) -> Answer<Response> {
    Ok(app.mjpeg.stream(seat(&app)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::fuzz;

    #[test]
    fn bodies_of_any_kind_are_a_change_or_an_error() {
        let seeds = [
            r#"{"style":"great-wave:0.7,scream:0.3","transition_ms":500.0}"#,
            r#"{"strength":0.5,"stability":1,"split":0,"style_a":null,"style_b":"scream","style_mix":1e-3}"#,
        ];
        let (mut read, mut refused) = (0, 0);
        let mut count = |status: Option<StatusCode>| match status {
            None => read += 1,
            Some(StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY) => refused += 1,
            Some(other) => panic!("{other}"),
        };
        fuzz::each(&seeds, |bytes| {
            let body = || Ok::<_, std::convert::Infallible>(Bytes::copy_from_slice(bytes));
            count(parse::<StyleChange>(body()).err().map(|err| err.status));
            count(parse::<Change>(body()).err().map(|err| err.status));
        });
        assert!(read > 100 && refused > 100, "{read} {refused}");
    }
}
