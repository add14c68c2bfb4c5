// SPDX-License-Identifier: MPL-2.0
//! The page in a browser.

use std::sync::MutexGuard;

use super::alone;
use super::chromium::{Browser, Page};
use super::server::Server;

/// Returns when the page's video plays.
pub fn plays(page: &mut Page) {
    page.wait_for(
        "document.getElementById('video')?.videoWidth > 0
         && document.getElementById('video').currentTime > 0.5",
    );
}

/// A server with the test source, and a browser that plays its page. `None` if either is missing.
pub fn watched() -> Option<(MutexGuard<'static, ()>, Browser, Server, Page)> {
    let alone = alone();
    let browser = Browser::start()?;
    let server = Server::start(&[]);
    let mut page = browser.open(&server.url);
    plays(&mut page);
    Some((alone, browser, server, page))
}
