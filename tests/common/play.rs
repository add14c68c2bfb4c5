// SPDX-License-Identifier: MPL-2.0
//! Runs frames through the element, and reads the signature that it found.

use gst::prelude::*;
use gst_check::Harness;

use super::generators::Net;
use super::picture::Picture;

/// Odd and even sizes, smaller and larger than the minimum of a generator's input.
pub const SIZES: [(usize, usize); 4] = [(16, 16), (33, 17), (128, 100), (101, 160)];

/// Pushes one RGBA frame through the element; returns the output and the signature.
pub fn play(element: &gst::Element, picture: &Picture) -> (Picture, String) {
    let format = gst_video::VideoFormat::Rgba;
    let (width, height) = (picture.width as u32, picture.height as u32);
    let info = gst_video::VideoInfo::builder(format, width, height)
        .fps(gst::Fraction::new(25, 1))
        .build()
        .expect("video info");
    let mut harness = Harness::with_element(element, Some("sink"), Some("src"));
    harness.set_src_caps(info.to_caps().expect("caps"));
    let mut buffer = picture.buffer(format, "RGBA", picture.width * 4);
    buffer
        .get_mut()
        .expect("fresh")
        .set_pts(gst::ClockTime::ZERO);
    let out = harness.push_and_pull(buffer).expect("a frame");
    let stats = element.property::<gst::Structure>("stats");
    let signature = stats.get("signature").expect("a signature");
    (Picture::read(&out, &info, "RGBA"), signature)
}

/// Plays a generator at all sizes; the signature must contain all these words.
#[track_caller]
pub fn check(net: &Net, words: &[&str], reference: impl Fn(&Picture) -> Picture) {
    let (_dir, element) = super::element(&net.bytes());
    check_element(&element, words, reference);
}

#[track_caller]
pub fn check_element(
    element: &gst::Element,
    words: &[&str],
    reference: impl Fn(&Picture) -> Picture,
) {
    for (width, height) in SIZES {
        let picture = Picture::varied(width, height);
        let (got, signature) = play(element, &picture);
        for word in words {
            assert!(signature.contains(word), "\"{word}\" in: {signature}");
        }
        let difference = got.max_difference(&reference(&picture));
        let size = format!("{width}x{height}");
        assert!(
            difference <= 1,
            "{size}: off by {difference} with {signature}"
        );
    }
}
