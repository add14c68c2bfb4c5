// SPDX-License-Identifier: MPL-2.0
//! The bytes of a mapped frame as one slice.

use gst_video::VideoFrameRef;
use gst_video::prelude::*;

use super::report::Error;
use crate::engine::session::Rows;

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
pub(super) fn readable<'a>(
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
pub(super) fn writable<'a>(
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
