// SPDX-License-Identifier: MPL-2.0
//! One frame's way: buffer → bytes → compiled graph → bytes → buffer.

use std::time::{Duration, Instant};

use gst_video::VideoFrameRef;
use gst_video::prelude::*;

use super::caps;
use super::report::Error;
use super::style::Values;
use crate::engine::Lease;
use crate::engine::session::{Controls, Rows};
use crate::graph::Frame;

/// What is done to a frame.
pub(super) struct Task {
    pub session: Lease,
    pub info: gst_video::VideoInfo,
    /// The layout that the session was compiled for.
    pub layout: Frame,
    pub strength: f32,
    pub seed: u64,
    pub style: Values,
    /// When the frame should be done: who shares the session gives way to earlier ones.
    pub deadline: Instant,
}

/// What a frame's time was spent on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    /// For others with the same session.
    pub waited: Duration,
    /// The graph itself.
    pub ran: Duration,
}

impl Task {
    /// Stylizes `source` into `target`. `spare` is memory for frames that end early.
    pub fn run(
        &self,
        source: &gst::BufferRef,
        target: &mut gst::BufferRef,
        spare: &mut Vec<u8>,
    ) -> Result<Timing, Error> {
        let source = VideoFrameRef::from_buffer_ref_readable(source, &self.info);
        let source = source.map_err(unmapped)?;
        let target = VideoFrameRef::from_buffer_ref_writable(target, &self.info);
        let mut target = target.map_err(unmapped)?;
        let row = self.layout.row();
        let source = readable(&source, row, spare)?;
        let target = writable(&mut target, row)?;
        let begin = Instant::now();
        let controls = Controls {
            strength: self.strength,
            seed: self.seed,
            style: &self.style,
        };
        let ran = self.session.run(source, controls, self.deadline, target)?;
        let waited = begin.elapsed().saturating_sub(ran);
        Ok(Timing { waited, ran })
    }
}

pub(super) fn unmapped(_: gst::glib::BoolError) -> Error {
    Error::Memory("it cannot be mapped".into())
}

/// The memory layout of these two buffers.
pub(super) fn layout(
    info: &gst_video::VideoInfo,
    source: &gst::BufferRef,
    target: &gst::BufferRef,
) -> Result<Frame, Error> {
    let stride = |buffer: &gst::BufferRef| match buffer.meta::<gst_video::VideoMeta>() {
        Some(meta) => meta.stride()[0],
        None => info.stride()[0],
    };
    layout_of(info, stride(source), stride(target))
}

/// The layout of frames with these strides in bytes.
pub(super) fn layout_of(
    info: &gst_video::VideoInfo,
    stride: i32,
    out_stride: i32,
) -> Result<Frame, Error> {
    let format =
        caps::packed(info.format()).ok_or_else(|| Error::Format(info.format().to_string()))?;
    let positive = |stride: i32| {
        usize::try_from(stride)
            .map_err(|_| Error::Memory(format!("its stride of {stride} bytes is negative")))
    };
    Ok(Frame {
        format,
        width: info.width() as usize,
        height: info.height() as usize,
        stride: positive(stride)?,
        out_stride: positive(out_stride)?,
    })
}

/// Where the only plane of a packed frame lies.
struct Plane {
    data: *mut u8,
    /// Bytes that are mapped from `data` on.
    mapped: usize,
    rows: Rows,
}

fn plane<T>(frame: &VideoFrameRef<T>) -> Result<Plane, Error>
where
    VideoFrameRef<T>: VideoFrameExt,
{
    let stride = frame.plane_stride()[0];
    let stride = usize::try_from(stride)
        .map_err(|_| Error::Memory(format!("its stride of {stride} bytes is negative")))?;
    // SAFETY: the frame is mapped as long as it lives.
    let raw = unsafe { &*frame.as_ptr() };
    let data = raw.data[0].cast::<u8>();
    let end = raw.map[0].data as usize + raw.map[0].size;
    Ok(Plane {
        data,
        mapped: end.saturating_sub(data as usize),
        rows: Rows {
            rows: frame.height() as usize,
            stride,
        },
    })
}

impl Plane {
    fn len(&self) -> usize {
        self.rows.rows * self.rows.stride
    }

    fn short(&self) -> Error {
        let (len, mapped) = (self.len(), self.mapped);
        Error::Memory(format!("it has {mapped} bytes where {len} are needed"))
    }
}

/// The bytes of a frame that is read. A buffer may end with the last row's pixels, without that
/// row's padding: then, and only then, they are copied to `spare`.
fn readable<'a>(
    frame: &'a VideoFrameRef<&gst::BufferRef>,
    row: usize,
    spare: &'a mut Vec<u8>,
) -> Result<(&'a [u8], Rows), Error> {
    let plane = plane(frame)?;
    let len = plane.len();
    let needed = len - plane.rows.stride.saturating_sub(row).min(len);
    if plane.rows.stride < row || plane.mapped < needed {
        return Err(plane.short());
    }
    // SAFETY: mapped for reading, and `mapped` bytes long.
    let bytes = unsafe { std::slice::from_raw_parts(plane.data, plane.mapped.min(len)) };
    if bytes.len() == len {
        return Ok((bytes, plane.rows));
    }
    gst::debug!(
        gst::CAT_PERFORMANCE,
        "copying a frame without padding in its last row"
    );
    spare.clear();
    spare.extend_from_slice(bytes);
    spare.resize(len, 0);
    Ok((spare, plane.rows))
}

/// The bytes of a frame that is written.
fn writable<'a>(
    frame: &'a mut VideoFrameRef<&mut gst::BufferRef>,
    row: usize,
) -> Result<(&'a mut [u8], Rows), Error> {
    let plane = plane(frame)?;
    if plane.rows.stride < row || plane.mapped < plane.len() {
        return Err(plane.short());
    }
    // SAFETY: mapped for writing, exclusively borrowed, and `mapped` bytes long.
    let bytes = unsafe { std::slice::from_raw_parts_mut(plane.data, plane.len()) };
    Ok((bytes, plane.rows))
}
