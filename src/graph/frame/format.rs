// SPDX-License-Identifier: MPL-2.0
//! Frame formats: where the bytes of a picture lie in a frame, and what they mean.

/// Most planes that a frame has.
pub const PLANES: usize = 3;

/// A packed RGB format: every pixel is `bytes` bytes, each channel one byte of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Packed {
    /// Bytes per pixel, 3 or 4.
    pub bytes: usize,
    /// Byte offsets of red, green and blue in a pixel.
    pub rgb: [usize; 3],
}

impl Packed {
    /// The byte that is not a colour (alpha or padding) in a four-byte pixel.
    pub fn fourth(&self) -> Option<usize> {
        (0..self.bytes).find(|byte| !self.rgb.contains(byte))
    }
}

/// What the bytes of one plane are; the numbers are components: 0 to 2 for Y, Cb, Cr or R, G, B.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Plane {
    /// One component.
    One(usize),
    /// Two chroma components in turn, as in NV12.
    Pair([usize; 2]),
    /// Luma and both chroma components of two pixels in four bytes, luma first (YUY2) or chroma
    /// first (UYVY).
    Quad { luma_first: bool },
}

/// How luma is weighted from red, green and blue (ITU-R BT.601, BT.709, BT.2020, SMPTE 240M, FCC).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // Named after the standards.
pub enum Matrix {
    Bt601,
    Bt709,
    Bt2020,
    Smpte240m,
    Fcc,
}

impl Matrix {
    /// Weights of red and blue in luma; green has the rest.
    pub fn weights(self) -> (f64, f64) {
        match self {
            Self::Bt601 => (0.299, 0.114),
            Self::Bt709 => (0.2126, 0.0722),
            Self::Bt2020 => (0.2627, 0.0593),
            Self::Smpte240m => (0.212, 0.087),
            Self::Fcc => (0.30, 0.11),
        }
    }
}

/// What the components are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Components {
    /// Red, green and blue.
    Rgb,
    /// Luma and two colour differences; `full`: codes 0..255, else 16..235 and 16..240, or as many
    /// times more as a deeper format has.
    Yuv {
        /// Weights of luma.
        matrix: Matrix,
        /// Range of codes.
        full: bool,
        /// Whether chroma samples lie on luma samples, horizontally and vertically, where they are
        /// fewer; else in the middle between two.
        cosited: [bool; 2],
    },
    /// Luma alone, 0..255 or 16..235.
    Grey {
        /// Weights of luma.
        matrix: Matrix,
        /// Range of codes.
        full: bool,
    },
}

/// How a sample is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Depth {
    /// Bits of its code: 8 in one byte, more in two, the lower byte first.
    pub bits: u32,
    /// Whether the code's bits are the upper ones of the two bytes, as in P010; else the lower ones.
    pub upper: bool,
}

impl Depth {
    /// One byte, all of it.
    pub const BYTE: Self = Self {
        bits: 8,
        upper: false,
    };

    /// Bytes of a sample.
    pub fn bytes(self) -> usize {
        if self.bits > 8 { 2 } else { 1 }
    }

    /// The largest code.
    pub fn most(self) -> f64 {
        f64::from((1_u32 << self.bits) - 1)
    }

    /// What the two bytes hold for a code of 1.
    pub fn unit(self) -> f64 {
        match self.upper {
            true => f64::from(1_u32 << (16 - self.bits)),
            false => 1.0,
        }
    }
}

/// A format of several planes, or with chroma samples for more than one pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Planar {
    /// In the order of the frame's planes.
    pub planes: &'static [Plane],
    /// Pixels for each sample of chroma, across and down: 1 or 2.
    pub subsampling: [usize; 2],
    /// Their meaning.
    pub components: Components,
    /// How each of them is stored.
    pub depth: Depth,
}

/// How the bytes of a frame make a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// RGB, interleaved.
    Packed(Packed),
    /// Everything else.
    Planar(Planar),
}

/// Where the planes lie in a frame's memory: row `r` of plane `p` begins at
/// `offsets[p] + r · strides[p]`. Planes that a format lacks are 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Memory {
    /// Bytes from the first byte of the frame.
    pub offsets: [usize; PLANES],
    /// Bytes.
    pub strides: [usize; PLANES],
}

/// One frame's format, size and memory layout: the key of a compiled graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Frame {
    /// Format.
    pub format: Format,
    /// Pixels.
    pub width: usize,
    /// Pixels.
    pub height: usize,
    /// Of the frame that is read.
    pub source: Memory,
    /// Of the frame that is written.
    pub target: Memory,
}

impl Frame {
    /// How many planes there are.
    pub fn planes(&self) -> usize {
        match self.format {
            Format::Packed(_) => 1,
            Format::Planar(planar) => planar.planes.len(),
        }
    }

    /// Size of the chroma planes, samples: width and height.
    pub fn chroma(&self, subsampling: [usize; 2]) -> (usize, usize) {
        let [across, down] = subsampling;
        (self.width.div_ceil(across), self.height.div_ceil(down))
    }

    /// Rows of a plane, and the bytes of a row that are picture.
    pub fn plane(&self, index: usize) -> (usize, usize) {
        match self.format {
            Format::Packed(packed) => (self.height, self.width * packed.bytes),
            Format::Planar(planar) => {
                let (width, height) = self.chroma(planar.subsampling);
                let (rows, samples) = match planar.planes[index] {
                    Plane::One(0) => (self.height, self.width),
                    Plane::One(_) => (height, width),
                    Plane::Pair(_) => (height, width * 2),
                    Plane::Quad { .. } => (self.height, width * 4),
                };
                (rows, samples * planar.depth.bytes())
            }
        }
    }

    /// Bytes from the first of a frame in this memory to the end of its last row, that row's padding
    /// included.
    pub fn size(&self, memory: &Memory) -> usize {
        let end = |p| memory.offsets[p] + memory.strides[p] * self.plane(p).0;
        (0..self.planes()).map(end).max().unwrap_or(0)
    }

    /// Bytes to the last one that is picture.
    pub fn needed(&self, memory: &Memory) -> usize {
        let end = |p| {
            let (rows, row) = self.plane(p);
            memory.offsets[p] + memory.strides[p] * (rows - 1) + row
        };
        (0..self.planes()).map(end).max().unwrap_or(0)
    }

    /// Shape of the tensor that holds such a frame: rows of a packed one, all bytes of another.
    pub fn shape(&self, memory: &Memory) -> [usize; 2] {
        match self.format {
            Format::Packed(_) => [self.height, memory.strides[0]],
            Format::Planar(_) => [1, self.size(memory)],
        }
    }

    /// A written frame's picture as one that is read, of `len` bytes.
    pub fn rearranged(&self, written: &[u8], len: usize) -> Vec<u8> {
        let mut read = vec![0; len];
        for p in 0..self.planes() {
            let (rows, row) = self.plane(p);
            for r in 0..rows {
                let from = self.target.offsets[p] + r * self.target.strides[p];
                let to = self.source.offsets[p] + r * self.source.strides[p];
                read[to..to + row].copy_from_slice(&written[from..from + row]);
            }
        }
        read
    }

    /// Whether no two rows of a plane, and no two planes, share a byte.
    pub fn is_sound(&self, memory: &Memory) -> bool {
        // Asked for every frame, so without an allocation.
        let mut spans = [(0, 0); PLANES];
        let spans = &mut spans[..self.planes()];
        for (p, span) in spans.iter_mut().enumerate() {
            let (rows, row) = self.plane(p);
            let begin = memory.offsets[p];
            // To the end of the last row with its padding, which must be a number, too.
            let Some(end) = memory.strides[p]
                .checked_mul(rows)
                .and_then(|len| begin.checked_add(len))
            else {
                return false;
            };
            *span = (begin, end - memory.strides[p].saturating_sub(row));
        }
        spans.sort_unstable();
        let apart = spans.windows(2).all(|pair| pair[0].1 <= pair[1].0);
        apart && (0..self.planes()).all(|p| memory.strides[p] >= self.plane(p).1)
    }
}
