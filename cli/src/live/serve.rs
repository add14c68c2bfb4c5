// SPDX-License-Identifier: MPL-2.0
//! HTTP connections: their number and the time of each step are limited.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;

use super::error::ApiError;

/// Time limit from the connection, or the response before, to the end of a request's header.
const HEADER: Duration = Duration::from_secs(10);
/// Time limit from the request's header to the response's. Longer than the longest wait for a playlist.
const ANSWER: Duration = Duration::from_secs(30);
/// Time limit of a write: a client that reads nothing for so long is disconnected.
const SEND: Duration = Duration::from_secs(10);
/// Time for responses in progress when the server ends.
const GOODBYE: Duration = Duration::from_secs(2);
/// Most header fields of a request; browsers send about twenty.
const HEADERS: usize = 64;

/// Serves until `ended` resolves. Connections beyond `connections` at a time are closed without a response.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    connections: usize,
    ended: impl Future<Output = ()>,
) {
    let permits = Arc::new(Semaphore::new(connections));
    let (end, _) = watch::channel(());
    let mut tasks = JoinSet::new();
    tokio::pin!(ended);
    loop {
        while tasks.try_join_next().is_some() {}
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(err) => {
                    // The connection was aborted already, or the process has too many open files: both are temporary.
                    eprintln!("warning: a connection cannot be taken: {err}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            () = &mut ended => break,
        };
        let Ok(permit) = permits.clone().try_acquire_owned() else {
            continue;
        };
        // Nagle's algorithm would delay the last packet of a frame.
        let _ = stream.set_nodelay(true);
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(SEND));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER)
            .max_headers(HEADERS)
            .serve_connection(
                TokioIo::new(Box::pin(stream)),
                TowerToHyperService::new(router.clone()),
            )
            .with_upgrades();
        let mut ending = end.subscribe();
        tasks.spawn(async move {
            tokio::pin!(connection);
            // An error is one of the client or its network.
            tokio::select! {
                _ = connection.as_mut() => return,
                _ = ending.changed() => (),
            }
            // Ends after the response in progress.
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
            drop(permit);
        });
    }
    end.send_replace(());
    let goodbyes = async { while tasks.join_next().await.is_some() {} };
    // Connections that take longer are aborted with the tasks.
    let _ = tokio::time::timeout(GOODBYE, goodbyes).await;
}

/// Middleware: 408 for a request whose body does not arrive, or whose handler takes too long.
pub async fn limit(request: Request, next: Next) -> Response {
    match tokio::time::timeout(ANSWER, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            format!("the request took more than {} s", ANSWER.as_secs()),
        )
        .into_response(),
    }
}
