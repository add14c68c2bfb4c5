// SPDX-License-Identifier: MPL-2.0
//! Runs the compiled graph on one frame: maps both buffers, repacks rows where their layout differs from the
//! graph's, and runs the session in place.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use crate::engine::Runner;
use crate::engine::session::{Controls, Rows, Source};
use crate::graph::{Frame, Memory};
use crate::planes::{self, Plane, PlaneError};
use crate::stylize::caps;
use crate::stylize::mask::canvas::Mask;
use crate::stylize::report::Error;
use crate::stylize::style::transition::Values;

/// The inference for one frame.
pub(crate) struct Task {
    pub runner: Runner,
    pub info: gst_video::VideoInfo,
    /// The layout for which the session was compiled.
    pub layout: Frame,
    /// Height of the picture shown to the generator, pixels.
    pub inference_height: usize,
    /// Mix of source (0) and painting (1).
    pub strength: f32,
    /// Share of the width, from the left, that shows the source, 0..1.
    pub split: f64,
    /// Seed of the noise inputs.
    pub seed: u64,
    /// Values of the style input.
    pub style: Values,
    /// The mask; without one, the painting is shown everywhere.
    pub mask: Option<Mask>,
    /// Style outside the mask; `None`: the source is shown there.
    pub rest: Option<Values>,
    /// Weight of the previous frame where nothing moved, 0..1.
    pub stability: f32,
}

/// Times of a painted frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    /// Height of the picture shown to the generator, pixels.
    pub height: usize,
    /// Time in the session's queue, behind other elements' frames.
    pub waited: Duration,
    /// Time of the runs.
    pub ran: Duration,
}

impl Task {
    /// Whether the graph has state tensors, so that frames must run one after another.
    pub fn remembers(&self) -> bool {
        self.runner.remembers()
    }

    /// Stylizes `source` into `target`; `begin`: when the job was queued.
    ///
    /// # Errors
    /// [`Error::Memory`] for buffers that cannot be mapped or are too short, and those of the session.
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
        let (source_at, target_at) = (
            first_plane(&self.info, &self.layout, source)?,
            first_plane(&self.info, &self.layout, target)?,
        );
        let source = source.map_readable().map_err(unmapped)?;
        let mut target = target.map_writable().map_err(unmapped)?;
        let mut padded = SpareRows::default();
        let source = readable(
            source.get(source_at..).unwrap_or_default(),
            &self.layout,
            &mut padded,
        )?;
        let target = writable(
            target.get_mut(target_at..).unwrap_or_default(),
            &self.layout,
        )?;
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
            // The second run paints outside the mask, over the output of the first.
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

fn unmapped(_: gst::glib::BoolError) -> Error {
    Error::Memory("it cannot be mapped".into())
}

/// Copies a frame's picture between buffers of any memory layout.
///
/// # Errors
/// [`Error::Memory`] for a buffer that does not hold a frame of its caps.
pub(crate) fn copy(
    info: &gst_video::VideoInfo,
    source: &gst::BufferRef,
    target: &mut gst::BufferRef,
) -> Result<(), Error> {
    let frame = usual_layout(info)?;
    let extents = (0..frame.planes()).map(|index| frame.plane(index));
    Ok(planes::copy(info, extents, source, target)?)
}

/// A buffer for a frame in the default layout of its caps.
fn empty(info: &gst_video::VideoInfo) -> Result<gst::Buffer, Error> {
    gst::debug!(
        gst::CAT_PERFORMANCE,
        "copying a frame whose memory layout differs from the one the graph was compiled for"
    );
    let buffer = gst::Buffer::with_size(info.size());
    buffer.map_err(|_| Error::Memory(format!("{} bytes cannot be allocated", info.size())))
}

/// Whether mapping the buffer gives all planes at the offsets that the meta or the caps state.
fn in_one_piece(info: &gst_video::VideoInfo, buffer: &gst::BufferRef) -> bool {
    // Mapping a buffer of several memories joins them, which the meta's offsets take into account only if it is
    // of one plane.
    info.n_planes() == 1
        || buffer.n_memory() == 1
        || buffer.meta::<gst_video::VideoMeta>().is_none()
}

/// Whether a graph for this layout can read or write the buffer in place.
fn lies_as(info: &gst_video::VideoInfo, buffer: &gst::BufferRef, wanted: &Memory) -> bool {
    in_one_piece(info, buffer) && memory_of(info, buffer).is_ok_and(|memory| memory == *wanted)
}

fn memory_of(info: &gst_video::VideoInfo, buffer: &gst::BufferRef) -> Result<Memory, Error> {
    match planes::described(info, buffer)? {
        Some(meta) if in_one_piece(info, buffer) => memory(meta.offset(), meta.stride()),
        _ => memory(info.offset(), info.stride()),
    }
}

/// The layout of frames from and to these two buffers.
///
/// # Errors
/// [`Error::Memory`] for layouts that no graph can be compiled for, and those of [`caps::format`].
pub(crate) fn layout(
    info: &gst_video::VideoInfo,
    source: &gst::BufferRef,
    target: &gst::BufferRef,
) -> Result<Frame, Error> {
    layout_of(info, memory_of(info, source)?, memory_of(info, target)?)
}

/// The layout of frames in the default memory layout of their caps.
///
/// # Errors
/// Those of [`layout`].
pub(crate) fn usual_layout(info: &gst_video::VideoInfo) -> Result<Frame, Error> {
    let memory = memory(info.offset(), info.stride())?;
    layout_of(info, memory, memory)
}

/// The layout of frames whose planes have these offsets and strides, bytes.
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
        *to = usize::try_from(*stride).map_err(|_| PlaneError::Negative(*stride))?;
    }
    // Relative to the first plane (`first_plane`).
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

/// Scratch memory for frames without padding in their last row; reused by its thread.
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

/// Offset in bytes of the first plane in a buffer whose planes are in one piece and all lie in it.
///
/// The planes are mapped as the buffer's bytes, not as a `VideoFrame`: its planes come without their lengths, and
/// a meta with a `map` function of its own need not fill in the `GstMapInfo`.
///
/// # Errors
/// [`Error::Memory`] for a buffer whose meta describes other frames than the caps, or that is too short for them.
fn first_plane(
    info: &gst_video::VideoInfo,
    layout: &Frame,
    buffer: &gst::BufferRef,
) -> Result<usize, Error> {
    let find = |index| Plane::find(info, buffer, index, layout.plane(index));
    let first = find(0)?;
    for index in 1..layout.planes() {
        find(index)?;
    }
    Ok(first.offset)
}

fn short(has: usize, needed: usize) -> Error {
    PlaneError::Short { has, needed }.into()
}

/// The bytes of a frame that is read, from those of its buffer behind [`first_plane`]. A buffer may end with the
/// last row's pixels, without that row's padding: then, and only then, they are copied to `padded`.
fn readable<'a>(
    bytes: &'a [u8],
    layout: &Frame,
    padded: &'a mut SpareRows,
) -> Result<(&'a [u8], Rows), Error> {
    let (len, needed) = (layout.size(&layout.source), layout.needed(&layout.source));
    if bytes.len() < needed {
        return Err(short(bytes.len(), needed));
    }
    let rows = Rows::from(layout.shape(&layout.source));
    if let Some(bytes) = bytes.get(..len) {
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

/// The bytes of a frame that is written, from those of its buffer behind [`first_plane`].
fn writable<'a>(bytes: &'a mut [u8], layout: &Frame) -> Result<(&'a mut [u8], Rows), Error> {
    let (has, len) = (bytes.len(), layout.size(&layout.target));
    let bytes = bytes.get_mut(..len).ok_or_else(|| short(has, len))?;
    Ok((bytes, Rows::from(layout.shape(&layout.target))))
}
