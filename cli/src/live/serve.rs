// SPDX-License-Identifier: MPL-2.0
//! Connections: so many at once, and none may take its time at the cost of others.

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

/// From the connection, or the answer before, to the end of a request's header.
const HEADER: Duration = Duration::from_secs(10);
/// From the header to the answer's: the body comes, and what it asks for is done. Longer than the longest wait
/// for a playlist.
const ANSWER: Duration = Duration::from_secs(30);
/// A reader that has taken nothing for so long is given up.
const SEND: Duration = Duration::from_secs(10);
/// What is still being sent when the server ends has so long.
const GOODBYE: Duration = Duration::from_secs(2);
/// Headers of a request; browsers send about twenty.
const HEADERS: usize = 64;

/// Answers until `ended` resolves. Of more than `connections` at once, the last are closed unanswered.
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
                    // Of a connection that is gone already, or no more files can be opened: that passes.
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
        // Parts of a picture must not wait for each other.
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
            // An error is the other side's, who knows.
            tokio::select! {
                _ = connection.as_mut() => return,
                _ = ending.changed() => (),
            }
            // After the answer that is being sent, it ends.
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
            drop(permit);
        });
    }
    end.send_replace(());
    let goodbyes = async { while tasks.join_next().await.is_some() {} };
    // What takes longer ends with the tasks.
    let _ = tokio::time::timeout(GOODBYE, goodbyes).await;
}

/// Gives up a request whose body does not come, or that is not answered.
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
