// SPDX-License-Identifier: MPL-2.0
//! Caps and buffer pools, as other elements negotiate them.

mod common;

use common::generators::negative;
use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_check::Harness;

const CAPS: &str = "video/x-raw,format=RGB,width=64,height=48,framerate=25/1";
const SIZE: usize = 64 * 48 * 3;

fn harness(frames: u32) -> (tempfile::TempDir, gst::Element, Harness) {
    let (dir, element) = common::element(&negative(13).bytes());
    element.set_property("frames-in-flight", frames);
    let harness = Harness::with_element(&element, Some("sink"), Some("src"));
    (dir, element, harness)
}

#[test]
fn caps_that_cannot_be_played_are_not_accepted() {
    let (_dir, element, _harness) = harness(1);
    let sink = element.static_pad("sink").expect("a pad");
    let accepts = |caps: &str| sink.query_accept_caps(&caps.parse::<gst::Caps>().expect("caps"));
    for caps in [
        "video/x-h264,width=64,height=48,interlace-mode=interleaved",
        "video/x-h264,width=4,height=4",
        "video/x-raw(memory:GLMemory),format=RGBA,width=4,height=4",
        "video/x-raw(memory:DMABuf),format=NV12,width=64,height=48,interlace-mode=mixed",
        "audio/x-raw,width=4,height=4",
        "video/x-raw,format=GRAY16_LE,width=64,height=48,framerate=25/1",
    ] {
        assert!(!accepts(caps), "{caps}");
    }
    // With and without an interlace mode in the caps.
    assert!(accepts(CAPS));
    assert!(accepts(&format!("{CAPS},interlace-mode=progressive")));
    // Those get a sentence.
    assert!(accepts(&format!("{CAPS},interlace-mode=interleaved")));
    assert!(accepts(&CAPS.replace("64", "8")));
}

#[test]
fn the_template_says_progressive() {
    common::init();
    let factory = gst::ElementFactory::find("stylize").expect("registered");
    for template in factory.static_pad_templates() {
        let caps = template.caps();
        for structure in caps.iter() {
            assert_eq!(
                structure.get::<&str>("interlace-mode"),
                Ok("progressive"),
                "{structure}"
            );
        }
    }
}

mod picky {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// A pool like that of a capture device: needs more buffers than requested, changes the configuration accordingly
    /// and returns false.
    #[derive(Default)]
    pub struct Pool {
        pub least: AtomicU32,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Pool {
        const NAME: &'static str = "StylizeTestPickyPool";
        type Type = super::PickyPool;
        type ParentType = gst::BufferPool;
    }

    impl ObjectImpl for Pool {}
    impl GstObjectImpl for Pool {}
    impl BufferPoolImpl for Pool {
        fn set_config(&self, config: &mut gst::BufferPoolConfigRef) -> bool {
            let Some((caps, size, min, max)) = config.params() else {
                return false;
            };
            let least = self.least.load(Ordering::SeqCst);
            let changed = min < least;
            if changed {
                config.set_params(caps.as_ref(), size, least, max);
            }
            self.parent_set_config(config) && !changed
        }
    }
}

glib::wrapper! {
    pub struct PickyPool(ObjectSubclass<picky::Pool>) @extends gst::BufferPool, gst::Object;
}

/// Answers allocation queries of the element with this pool.
fn offer(harness: &Harness, pool: gst::BufferPool, min: u32, max: u32) {
    let pad = harness.sinkpad().expect("a pad");
    pad.add_probe(
        gst::PadProbeType::QUERY_DOWNSTREAM | gst::PadProbeType::PUSH,
        move |_, info| {
            if let Some(query) = info.query_mut()
                && let gst::QueryViewMut::Allocation(allocation) = query.view_mut()
            {
                allocation.add_allocation_meta::<gst_video::VideoMeta>(None);
                allocation.add_allocation_pool(Some(&pool), SIZE as u32, min, max);
                return gst::PadProbeReturn::Handled;
            }
            gst::PadProbeReturn::Ok
        },
    );
}

/// Whether a buffer comes from this pool.
fn is_of(buffer: &gst::Buffer, pool: &gst::BufferPool) -> bool {
    // SAFETY: the buffer is alive, and the pointer is only compared.
    unsafe { (*buffer.as_ptr()).pool == pool.as_ptr() }
}

fn play(harness: &mut Harness, count: u64) -> Vec<gst::Buffer> {
    (0..count)
        .map(|number| {
            let mut buffer = gst::Buffer::from_slice([number as u8; SIZE]);
            buffer
                .get_mut()
                .expect("fresh")
                .set_pts(gst::ClockTime::from_mseconds(40 * number));
            harness.push(buffer).expect("taken");
            let out = harness.pull().expect("a frame");
            let bytes = out.map_readable().expect("bytes");
            assert!(bytes.iter().all(|byte| *byte == 255 - number as u8));
            drop(bytes);
            out
        })
        .collect()
}

#[test]
fn a_pool_that_wants_more_buffers_is_taken_as_it_is() {
    for frames in [1, 3] {
        let (_dir, _element, mut harness) = harness(frames);
        let pool: PickyPool = glib::Object::new();
        pool.imp()
            .least
            .store(20, std::sync::atomic::Ordering::SeqCst);
        offer(&harness, pool.clone().upcast(), 2, 0);
        harness.set_src_caps_str(CAPS);
        let out = play(&mut harness, 3);
        assert!(out.iter().all(|buffer| is_of(buffer, pool.upcast_ref())));
        let (_, _, min, _) = pool.config().params().expect("configured");
        assert_eq!(min, 20);
    }
}

#[test]
fn a_pool_that_is_offered_again_stays_in_use() {
    for frames in [1, 3] {
        let (_dir, _element, mut harness) = harness(frames);
        let pool: gst::BufferPool = gst_video::VideoBufferPool::new().upcast();
        offer(&harness, pool.clone(), 2, 0);
        harness.set_src_caps_str(CAPS);
        for _ in 0..3 {
            let out = play(&mut harness, 3);
            assert!(out.iter().all(|buffer| is_of(buffer, &pool)));
            // The pool is active and has buffers in use.
            harness.push_upstream_event(gst::event::Reconfigure::new());
            let out = play(&mut harness, 3);
            assert!(out.iter().all(|buffer| is_of(buffer, &pool)));
        }
    }
}

#[test]
fn a_pool_that_cannot_give_enough_is_left_alone() {
    let (_dir, _element, mut harness) = harness(3);
    let pool: gst::BufferPool = gst_video::VideoBufferPool::new().upcast();
    offer(&harness, pool.clone(), 1, 2);
    harness.set_src_caps_str(CAPS);
    let out = play(&mut harness, 6);
    assert!(out.iter().all(|buffer| !is_of(buffer, &pool)));
}

#[test]
fn the_pool_s_caps_are_those_of_the_stream() {
    let (_dir, _element, mut harness) = harness(1);
    let pool: gst::BufferPool = gst_video::VideoBufferPool::new().upcast();
    offer(&harness, pool.clone(), 2, 0);
    let caps: gst::Caps = format!("{CAPS},interlace-mode=progressive,x-note=kept")
        .parse()
        .expect("caps");
    harness.set_src_caps(caps.clone());
    play(&mut harness, 1);
    let (of_pool, ..) = pool.config().params().expect("configured");
    assert_eq!(of_pool, Some(caps));
}
