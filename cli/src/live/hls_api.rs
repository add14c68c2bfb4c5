// SPDX-License-Identifier: MPL-2.0
//! HTTP handlers of HLS. URLs in playlists carry the token if the request had it in its URL, because most players
//! cannot send a header.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use super::App;
use super::error::ApiError;
use super::guard::random;
use super::hls::Look;
use super::hls_window::{Answer, Window};
use super::seats::{room, seat};

/// Longest wait for the first segments.
const START: Duration = Duration::from_secs(15);
/// `Cache-Control` of files, which never change: longer than they are in any playlist.
const KEPT: &str = "max-age=60, immutable";
/// Longest name of a viewer, characters; longer ones are cut.
const LONGEST_NAME: usize = 64;

/// The query of a request.
#[derive(Default)]
struct Query {
    token: Option<String>,
    viewer: String,
    stream: Option<u64>,
    segment: Option<u64>,
    part: Option<u64>,
}

impl Query {
    fn of(uri: &Uri) -> Result<Self, ApiError> {
        let mut query = Self::default();
        let pairs = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        for (name, value) in pairs {
            let number = || {
                value.parse().map_err(|_| {
                    let text = format!("{name} is \"{value}\"; give a whole number");
                    ApiError::new(StatusCode::BAD_REQUEST, text)
                })
            };
            match &*name {
                "token" => query.token = Some(value.into_owned()),
                "viewer" => query.viewer = value.chars().take(LONGEST_NAME).collect(),
                "stream" => query.stream = Some(number()?),
                "_HLS_msn" => query.segment = Some(number()?),
                "_HLS_part" => query.part = Some(number()?),
                // Other delivery directives are for servers that advertise them.
                _ => (),
            }
        }
        if query.part.is_some() && query.segment.is_none() {
            let text = "_HLS_part needs _HLS_msn; give both";
            return Err(ApiError::new(StatusCode::BAD_REQUEST, text));
        }
        Ok(query)
    }

    /// The token as part of a query, for URLs in a playlist.
    fn token(&self) -> Option<String> {
        let token = self.token.as_ref()?.as_bytes();
        let token: String = url::form_urlencoded::byte_serialize(token).collect();
        Some(format!("token={token}"))
    }
}

fn playlist(text: String, cache: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/vnd.apple.mpegurl"),
        (header::CACHE_CONTROL, cache),
    ];
    (headers, text).into_response()
}

fn not_here(text: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, text)
}

fn ended(stream: u64) -> ApiError {
    not_here(format!("stream {stream} has ended; begin with /live.m3u8"))
}

/// 503 for a playlist or part that does not arrive in time.
fn late(what: &str) -> ApiError {
    let text = format!("{what} is not there yet, though it should be; ask again");
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, text)
}

/// `GET /live.m3u8`: the multivariant playlist. Each response has another viewer name, so that viewers can be counted.
pub async fn live(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, ApiError> {
    let query = Query::of(&uri)?;
    room(&app)?;
    let mut look = app.hls.watch(&app.output).map_err(ApiError::internal)?;
    let ready = look.window.wait_for(|window| window.codec().is_some());
    let window = match tokio::time::timeout(START, ready).await {
        Ok(Ok(window)) => window,
        _ => return Err(late("the stream")),
    };
    let viewer = random().map_err(ApiError::internal)?;
    let token = query
        .token()
        .map_or(String::new(), |token| format!("&{token}"));
    // The peak is 1.5 times the average because of key frames.
    let (average, peak) = (app.bitrate * 1000, app.bitrate * 1500);
    let [width, height] = app.size;
    let text = format!(
        "#EXTM3U\n\
         #EXT-X-VERSION:6\n\
         #EXT-X-INDEPENDENT-SEGMENTS\n\
         #EXT-X-STREAM-INF:BANDWIDTH={peak},AVERAGE-BANDWIDTH={average},CODECS=\"{}\",\
         RESOLUTION={width}x{height},FRAME-RATE={:.3}\n\
         hls/media.m3u8?stream={}&viewer={viewer}{token}\n",
        window.codec().unwrap_or_default(),
        f64::from(app.framerate),
        window.first(),
    );
    Ok(playlist(text, "no-store"))
}

/// `GET /hls/FILE`: the media playlist, or a file that it lists.
pub async fn file(
    State(app): State<Arc<App>>,
    Path(file): Path<String>,
    uri: Uri,
) -> Result<Response, ApiError> {
    if file == "media.m3u8" {
        return media(&app, Query::of(&uri)?).await;
    }
    let unknown = || {
        let text = format!("there is no /hls/{file}; /live.m3u8 is where players begin");
        not_here(text)
    };
    let name = Name::of(&file).ok_or_else(unknown)?;
    let look = app.hls.look();
    let look = look.ok_or_else(|| not_here("nobody watches; begin with /live.m3u8"))?;
    let data = fetch(look, name).await?;
    let headers = [
        (header::CONTENT_TYPE, "video/mp4"),
        (header::CACHE_CONTROL, KEPT),
    ];
    Ok((headers, data).into_response())
}

/// The media playlist; with `_HLS_msn` it blocks until it has that segment or part.
async fn media(app: &App, query: Query) -> Result<Response, ApiError> {
    let mut look = match query.stream {
        // Players cannot continue with another stream under the same URL, so they are told to begin again.
        Some(number) => app
            .hls
            .look()
            .filter(|look| look.window.borrow().first() == number)
            .ok_or_else(|| ended(number))?,
        None => app.hls.watch(&app.output).map_err(ApiError::internal)?,
    };
    app.hls.seen(&query.viewer, || seat(app))?;
    let window = &mut look.window;
    let first = window.wait_for(|window| window.playlist("").is_some());
    if !matches!(tokio::time::timeout(START, first).await, Ok(Ok(_))) {
        return Err(late("the playlist"));
    }
    if let Some(segment) = query.segment {
        let limit = 3 * Duration::from_secs(window.borrow().target());
        let ready = window.wait_for(|window| window.reload(segment, query.part) != Answer::Wait);
        match tokio::time::timeout(limit, ready).await {
            Ok(Ok(window)) => {
                if let Answer::Refused(text) = window.reload(segment, query.part) {
                    return Err(ApiError::new(StatusCode::BAD_REQUEST, text));
                }
            }
            _ => return Err(late("what _HLS_msn and _HLS_part ask for")),
        }
    }
    let token = query
        .token()
        .map_or(String::new(), |token| format!("?{token}"));
    let text = window.borrow().playlist(&token);
    let text = text.ok_or_else(|| late("the playlist"))?;
    // With `_HLS_msn` the content of the URL hardly changes, so it can be cached; without, it is the current state.
    let cache = match query.segment {
        Some(_) => "max-age=6",
        None => "no-cache",
    };
    Ok(playlist(text, cache))
}

/// A file that the playlist lists: the initialization segment, a segment, or a part of one.
#[derive(Debug, PartialEq, Clone, Copy)]
enum Name {
    Init(u64),
    Segment(u64),
    Part(u64, usize),
}

impl Name {
    fn of(file: &str) -> Option<Self> {
        if let Some(number) = file.strip_prefix("init-") {
            return Some(Self::Init(number.strip_suffix(".mp4")?.parse().ok()?));
        }
        let numbers = file.strip_suffix(".m4s")?;
        Some(match numbers.split_once('.') {
            Some((segment, part)) => Self::Part(segment.parse().ok()?, part.parse().ok()?),
            None => Self::Segment(numbers.parse().ok()?),
        })
    }

    fn find(self, window: &Window) -> Answer<Bytes> {
        match self {
            Self::Init(number) => match window.init(number) {
                Some(init) => Answer::Ready(init),
                None => Answer::Refused(ended(number).text),
            },
            Self::Segment(segment) => window.segment(segment),
            Self::Part(segment, part) => window.part(segment, part),
        }
    }
}

/// The content of a file; waits for the next part, which the playlist announces in advance.
async fn fetch(mut look: Look, name: Name) -> Result<Bytes, ApiError> {
    let limit = 3 * Duration::from_secs(look.window.borrow().target());
    let ready = look
        .window
        .wait_for(|window| name.find(window) != Answer::Wait);
    match tokio::time::timeout(limit, ready).await {
        Ok(Ok(window)) => match name.find(&window) {
            Answer::Ready(data) => Ok(data),
            Answer::Wait => Err(late("this part")),
            Answer::Refused(text) => Err(not_here(text)),
        },
        Ok(Err(_)) => Err(not_here("the stream has ended; begin with /live.m3u8")),
        Err(_) => Err(late("this part")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::hls_window::{Lengths, Part};
    use crate::shared::fuzz;

    #[test]
    fn addresses_of_any_kind_are_an_answer_or_an_error() {
        let mut window = Window::new(0, 100, Lengths::at(25));
        window.set_init(Bytes::from_static(b"init"), "avc1".into());
        for number in 0..40_u32 {
            window.push(Part {
                time: Duration::from_millis(250) * number,
                duration: Duration::from_millis(250),
                independent: number % 4 == 0,
                data: Bytes::from_static(b"part"),
            });
        }
        let mut found = 0;
        let seeds = [
            "/hls/init-100.mp4",
            "/hls/105.m4s",
            "/hls/105.2.m4s?token=secret",
            "/live.m3u8?viewer=ab12&stream=100&_HLS_msn=106&_HLS_part=1",
        ];
        fuzz::each(&seeds, |bytes| {
            let Ok(uri) = Uri::try_from(bytes) else {
                return;
            };
            if let Ok(query) = Query::of(&uri) {
                assert!(query.viewer.chars().count() <= LONGEST_NAME);
                let token = query.token().unwrap_or_default();
                assert!(!token.contains(['\n', '"', ' ']), "{token}");
                if let Some(segment) = query.segment {
                    let _ = window.reload(segment, query.part);
                }
                let _ = window.playlist(&token);
            }
            let file = uri.path().rsplit('/').next().unwrap_or_default();
            if let Some(name) = Name::of(file) {
                found += usize::from(matches!(name.find(&window), Answer::Ready(_)));
            }
        });
        assert!(found > 1_000, "{found} addresses are still some");
    }
}
