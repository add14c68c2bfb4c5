// SPDX-License-Identifier: MPL-2.0
//! Runs the compiled graph on one frame: maps both buffers, repacks rows where their layout differs from
//! the graph's, and runs the session in place.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use gst_video::VideoFrameRef;
use gst_video::prelude::*;

use crate::engine::Runner;
use crate::engine::session::{Controls, Rows, Source};
use crate::graph::{Frame, Memory};
use crate::stylize::caps;
use crate::stylize::mask::canvas::Mask;
use crate::stylize::report::Error;
use crate::stylize::style::transition::Values;

/// What is done to a frame.
pub(crate) struct Task {
    pub runner: Runner,
    pub info: gst_video::VideoInfo,
    /// The layout that the session was compiled for, and the height of the picture shown to the
    /// generator.
    pub layout: Frame,
    pub inference_height: usize,
    pub strength: f32,
    /// Share of the width, at the left, that shows the source.
    pub split: f64,
    pub seed: u64,
    pub style: Values,
    /// Where the painting is shown; everywhere without one.
    pub mask: Option<Mask>,
    /// The style of what the mask leaves out, if that is to be painted, too.
    pub rest: Option<Values>,
    /// Weight of the frame before where nothing moved.
    pub stability: f32,
}

/// What a frame's time was spent on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    /// Of the picture shown to the generator, pixels.
    pub height: usize,
    /// For its turn, while others with the same session had theirs.
    pub waited: Duration,
    /// The graph itself.
    pub ran: Duration,
}

impl Task {
    /// Whether it needs what the frame before left.
    pub fn remembers(&self) -> bool {
        self.runner.remembers()
    }

    /// Stylizes `source` into `target`, a frame that was handed over at `begin`.
    pub fn run(
        &self,
        source: &gst::BufferRef,
        target: &mut gst::BufferRef,
        begin: Instant,
    ) -> Result<Timing, Error> {
        let joined;
        let source = match lies_as(&self.info, source, &self.layout.source) {
            true => source,
            false => {
                let mut buffer = empty(&self.info)?;
                copy(&self.info, source, buffer.make_mut())?;
                joined = buffer;
                &*joined
            }
        };
        if lies_as(&self.info, target, &self.layout.target) {
            return self.run_in_place(source, target, begin);
        }
        let mut buffer = empty(&self.info)?;
        let timing = self.run_in_place(source, buffer.make_mut(), begin)?;
        copy(&self.info, &buffer, target)?;
        Ok(timing)
    }

    fn run_in_place(
        &self,
        source: &gst::BufferRef,
        target: &mut gst::BufferRef,
        begin: Instant,
    ) -> Result<Timing, Error> {
        let source = VideoFrameRef::from_buffer_ref_readable(source, &self.info);
        let source = source.map_err(unmapped)?;
        let target = VideoFrameRef::from_buffer_ref_writable(target, &self.info);
        let mut target = target.map_err(unmapped)?;
        let mut padded = SpareRows::default();
        let source = readable(&source, &self.layout, &mut padded)?;
        let target = writable(&mut target, &self.layout)?;
        let waited = begin.elapsed();
        let controls = Controls {
            strength: self.strength,
            split: (self.split * self.layout.width as f64).round() as u32,
            seed: self.seed,
            style: &self.style,
            mask: self.mask.as_deref().unwrap_or_default(),
            stability: self.stability,
            layer: 0,
        };
        let (target, rows) = target;
        let (frame, source_rows) = source;
        let source = Source {
            frame,
            under: frame,
            rows: source_rows,
        };
        let mut ran = (self.runner).run(source, controls, (&mut *target, rows))?;
        if let (Some(style), Some(mask)) = (&self.rest, &self.mask) {
            // What has been painted takes the source's place.
            let painted = self.layout.rearranged(target, frame.len());
            let left_out: Vec<u8> = mask.iter().map(|value| 255 - value).collect();
            let controls = Controls {
                style,
                mask: &left_out,
                layer: 1,
                ..controls
            };
            let source = Source {
                under: &painted,
                ..source
            };
            ran += (self.runner).run(source, controls, (target, rows))?;
        }
        Ok(Timing {
            height: self.inference_height,
            waited,
            ran,
        })
    }
}

pub(crate) fn unmapped(_: gst::glib::BoolError) -> Error {
    Error::Memory("it cannot be mapped".into())
}

/// Copies a frame's picture, whatever the strides.
pub(crate) fn copy(
    info: &gst_video::VideoInfo,
    source: &gst::BufferRef,
    target: &mut gst::BufferRef,
) -> Result<(), Error> {
    let source = VideoFrameRef::from_buffer_ref_readable(source, info);
    let target = VideoFrameRef::from_buffer_ref_writable(target, info);
    let mut target = target.map_err(unmapped)?;
    source
        .and_then(|source| source.copy(&mut target))
        .map_err(unmapped)
}

/// A buffer for a frame in the usual layout.
fn empty(info: &gst_video::VideoInfo) -> Result<gst::Buffer, Error> {
    gst::debug!(
        gst::CAT_PERFORMANCE,
        "copying a frame whose rows or planes lie in memory unlike those the graph is for"
    );
    let buffer = gst::Buffer::with_size(info.size());
    buffer.map_err(|_| Error::Memory(format!("{} bytes cannot be allocated", info.size())))
}

/// Whether the bytes of all planes can be had as one slice.
fn in_one_piece(info: &gst_video::VideoInfo, buffer: &gst::BufferRef) -> bool {
    // Without the meta, mapping joins the memories.
    info.n_planes() == 1
        || buffer.n_memory() == 1
        || buffer.meta::<gst_video::VideoMeta>().is_none()
}

/// Whether a buffer can be read or written where it is, by a graph for this layout.
fn lies_as(info: &gst_video::VideoInfo, buffer: &gst::BufferRef, wanted: &Memory) -> bool {
    in_one_piece(info, buffer) && memory_of(info, buffer).is_ok_and(|memory| memory == *wanted)
}

fn memory_of(info: &gst_video::VideoInfo, buffer: &gst::BufferRef) -> Result<Memory, Error> {
    match buffer.meta::<gst_video::VideoMeta>() {
        Some(meta) if in_one_piece(info, buffer) => memory(meta.offset(), meta.stride()),
        _ => memory(info.offset(), info.stride()),
    }
}

/// The memory layout of these two buffers.
pub(crate) fn layout(
    info: &gst_video::VideoInfo,
    source: &gst::BufferRef,
    target: &gst::BufferRef,
) -> Result<Frame, Error> {
    layout_of(info, memory_of(info, source)?, memory_of(info, target)?)
}

/// The layout of frames in their usual memory.
pub(crate) fn usual_layout(info: &gst_video::VideoInfo) -> Result<Frame, Error> {
    let memory = memory(info.offset(), info.stride())?;
    layout_of(info, memory, memory)
}

/// The layout of frames with these offsets and strides of their planes.
#[cfg(fuzzing)]
pub(crate) fn layout_in(
    info: &gst_video::VideoInfo,
    offsets: &[usize],
    strides: &[i32],
) -> Result<Frame, Error> {
    let memory = memory(offsets, strides)?;
    layout_of(info, memory, memory)
}

fn memory(offsets: &[usize], strides: &[i32]) -> Result<Memory, Error> {
    let mut memory = Memory::default();
    for (to, stride) in memory.strides.iter_mut().zip(strides) {
        *to = usize::try_from(*stride)
            .map_err(|_| Error::Memory(format!("its stride of {stride} bytes is negative")))?;
    }
    // Offsets count from the first plane's bytes, which are found by mapping.
    let first = offsets.first().copied().unwrap_or(0);
    for (to, offset) in memory.offsets.iter_mut().zip(offsets) {
        *to = offset
            .checked_sub(first)
            .ok_or_else(|| Error::Memory("its first plane does not come first".into()))?;
    }
    Ok(memory)
}

fn layout_of(info: &gst_video::VideoInfo, source: Memory, target: Memory) -> Result<Frame, Error> {
    let layout = Frame {
        format: caps::format(info)?,
        width: info.width() as usize,
        height: info.height() as usize,
        source,
        target,
    };
    match [source, target]
        .iter()
        .all(|memory| layout.is_sound(memory))
    {
        true => Ok(layout),
        false => Err(Error::Memory(
            "its rows or planes are shorter than the picture".into(),
        )),
    }
}

thread_local! {
    static SPARE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Memory for frames that end early, kept by its thread from one frame to the next.
struct SpareRows(Vec<u8>);

impl Default for SpareRows {
    fn default() -> Self {
        Self(SPARE.take())
    }
}

impl Drop for SpareRows {
    fn drop(&mut self) {
        SPARE.set(std::mem::take(&mut self.0));
    }
}

/// The bytes of a frame from its first plane on.
struct Mapped {
    data: *mut u8,
    len: usize,
}

fn mapped<T>(frame: &VideoFrameRef<T>) -> Mapped
where
    VideoFrameRef<T>: VideoFrameExt,
{
    // SAFETY: `as_ptr` points into `frame`, which is borrowed for this function; only fields that
    // gst_video_frame_map filled are read.
    let raw = unsafe { &*frame.as_ptr() };
    let data = raw.data[0].cast::<u8>();
    let end = raw.map[0].data as usize + raw.map[0].size;
    Mapped {
        data,
        len: end.saturating_sub(data as usize),
    }
}

fn short(mapped: usize, needed: usize) -> Error {
    Error::Memory(format!("it has {mapped} bytes where {needed} are needed"))
}

/// The bytes of a frame that is read. A buffer may end with the last row's pixels, without that
/// row's padding: then, and only then, they are copied to `padded`.
fn readable<'a>(
    frame: &'a VideoFrameRef<&gst::BufferRef>,
    layout: &Frame,
    padded: &'a mut SpareRows,
) -> Result<(&'a [u8], Rows), Error> {
    let mapped = mapped(frame);
    let (len, needed) = (layout.size(&layout.source), layout.needed(&layout.source));
    if mapped.len < needed {
        return Err(short(mapped.len, needed));
    }
    let rows = Rows::from(layout.shape(&layout.source));
    // SAFETY: `data` is the mapped address of the first plane, and `len` the bytes from there to the end of
    // that mapping (`mapped`); the mapping lives as long as `frame`, which the result borrows, and is not
    // written while it is mapped for reading.
    let bytes = unsafe { std::slice::from_raw_parts(mapped.data, mapped.len.min(len)) };
    if bytes.len() == len {
        return Ok((bytes, rows));
    }
    gst::debug!(
        gst::CAT_PERFORMANCE,
        "copying a frame without padding in its last row"
    );
    padded.0.clear();
    padded.0.extend_from_slice(bytes);
    padded.0.resize(len, 0);
    Ok((&padded.0, rows))
}

/// The bytes of a frame that is written.
fn writable<'a>(
    frame: &'a mut VideoFrameRef<&mut gst::BufferRef>,
    layout: &Frame,
) -> Result<(&'a mut [u8], Rows), Error> {
    let mapped = mapped(frame);
    let len = layout.size(&layout.target);
    if mapped.len < len {
        return Err(short(mapped.len, len));
    }
    // SAFETY: as in `readable`; mapped for writing, `len` was checked against the mapping above, and the
    // result borrows `frame` mutably, so that there is no other reference to these bytes.
    let bytes = unsafe { std::slice::from_raw_parts_mut(mapped.data, len) };
    Ok((bytes, Rows::from(layout.shape(&layout.target))))
}
