// SPDX-License-Identifier: MPL-2.0
//! From a click on a style until the browser shows a picture in it.

use std::time::Duration;

use serde_json::Value;

use super::glass::{Glass, Way, browser, plays};
use super::table::{Table, share};

/// Two styles of other colours, in turn, without a glide. A picture in the other style is one whose mean
/// colour differs from that of the picture before by more than the film's own movement makes it.
const CLICKS: &str = "(async (time) => {
    const video = document.getElementById('video');
    const canvas = new OffscreenCanvas(32, 18);
    const context = canvas.getContext('2d', { willReadFrequently: true });
    const colour = () => {
        context.drawImage(video, 0, 0, 32, 18);
        const sums = [0, 0, 0, 0];
        context.getImageData(0, 0, 32, 18).data.forEach((value, i) => { sums[i % 4] += value / 32 / 18; });
        return sums;
    };
    const apart = (a, b) => Math.max(...a.map((value, i) => Math.abs(value - b[i])));
    const frame = () => new Promise((done) => video.requestVideoFrameCallback(done));
    const wait = (ms) => new Promise((done) => setTimeout(done, ms));
    document.getElementById('transition').value = 0;
    const found = [];
    const end = performance.now() + time;
    for (let turn = 0; performance.now() < end; turn++) {
        await wait(500 + 300 * Math.random());
        let [last, still] = [colour(), 0];
        for (let i = 0; i < 8; i++) {
            await frame();
            const shown = colour();
            still = Math.max(still, apart(last, shown));
            last = shown;
        }
        // Anywhere between two frames, as people click.
        await wait(40 * Math.random());
        const begin = performance.now();
        document.querySelector(`[data-style=${turn % 2 ? 'scream' : 'great-wave'}]`).click();
        for (let frames = 1; performance.now() - begin < 3000; frames++) {
            await frame();
            const shown = colour();
            if (apart(last, shown) > 2 * still + 4) {
                if (turn > 1) found.push([frames, performance.now() - begin]);
                last = null;
                break;
            }
            last = shown;
        }
        if (last) throw new Error(`the style of click ${turn} was not seen; by itself the colour changes by ${still}`);
    }
    return found;
})";

pub fn run(glass: &Glass) {
    println!("\nFrom a click on a style until the browser shows a picture in it, WebRTC:\n");
    let (_source, server) = glass.live_server(Way::Srt);
    let browser = browser();
    let mut page = browser.open(&server.url);
    plays(&mut page);
    std::thread::sleep(glass.settle);
    // A page's answer has to come within two minutes.
    let time = glass.time.min(Duration::from_secs(100));
    let found = page.run(&format!("{CLICKS}({})", time.as_millis()));
    let found = found.as_array().expect("clicks");
    let values = |at: usize| {
        let values = found.iter().map(|click: &Value| click[at].as_f64());
        values
            .map(|value| value.expect("a number"))
            .collect::<Vec<_>>()
    };
    let (frames, times) = (values(0), values(1));
    let table = Table::new(&[
        "clicks",
        "frames, median",
        "frames, 95 %",
        "median, ms",
        "95 %, ms",
        "lines",
    ]);
    table.row(&[
        found.len().to_string(),
        format!("{:.0}", share(&frames, 50)),
        format!("{:.0}", share(&frames, 95)),
        format!("{:.0}", share(&times, 50)),
        format!("{:.0}", share(&times, 95)),
        glass.lines().map_or("–".into(), |lines| lines.to_string()),
    ]);
}
