// SPDX-License-Identifier: MPL-2.0
//! Frames are read and written in place: the element makes no allocation of a frame's size.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use common::generators;
use common::picture::Picture;
use gst_check::Harness;

/// The system's allocator, recording the largest request.
struct Watched;

static LARGEST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every method passes its arguments to the system's allocator, which keeps the contract of `GlobalAlloc`, and
// `fetch_max` does not allocate.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`, which is the same here.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: `memory` came from `System.alloc` or `System.realloc` above, with this layout.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LARGEST.fetch_max(size, Ordering::Relaxed);
        // SAFETY: `memory` came from `System.alloc` or `System.realloc` above, with this layout.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Watched = Watched;

const WIDTH: usize = 320;
const HEIGHT: usize = 180;

/// The largest allocation while frames flow, without the first few frames; `stride` in bytes.
fn largest(provider: &str, stride: usize) -> usize {
    let (_dir, element) = common::element_on(provider, &generators::negative(17).bytes());
    let mut harness = Harness::with_element(&element, Some("sink"), Some("src"));
    let format = gst_video::VideoFormat::Rgb;
    let info = gst_video::VideoInfo::builder(format, WIDTH as u32, HEIGHT as u32)
        .fps(gst::Fraction::new(25, 1))
        .build()
        .expect("video info");
    harness.set_src_caps(info.to_caps().expect("caps"));
    let frame = Picture::varied(WIDTH, HEIGHT).buffer(format, "RGB", stride);
    let mut most = 0;
    for number in 0..20_u64 {
        let mut frame = frame.copy();
        let pts = gst::ClockTime::from_mseconds(40 * number);
        frame.get_mut().expect("fresh").set_pts(pts);
        LARGEST.store(0, Ordering::Relaxed);
        harness.push(frame).expect("pushed");
        if number > 3 {
            most = most.max(LARGEST.load(Ordering::Relaxed));
        }
        harness.pull().expect("a frame");
    }
    most
}

#[test]
fn no_frame_is_copied_or_allocated() {
    let seen = Vec::<u8>::with_capacity(1 << 20);
    assert!(LARGEST.load(Ordering::Relaxed) >= seen.capacity());
    for provider in common::PROVIDERS {
        for stride in [WIDTH * 3, WIDTH * 3 + 64] {
            let largest = largest(provider, stride);
            assert!(
                largest < WIDTH * 3,
                "{provider}, stride {stride}: {largest} bytes at once"
            );
        }
    }
}
