//! A module's binary on its way up: taken piece by piece, bounded, its hash counted along.
//!
//! Invariant: it never holds more bytes than have arrived, and never more than were announced.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use interstice_abi::{
    failure::{Code, Failure},
    wire::UPLOAD_CHUNK_BYTES,
};

use super::load::{Load, UploadPart};

/// How long an upload may rest before its memory is given back.
pub(super) const REST_MAX: Duration = Duration::from_secs(60);

/// An upload of one connection.
#[derive(Debug)]
pub(super) struct Upload {
    wasm: Vec<u8>,
    announced: u64,
    hash: [u8; 32],
    hasher: blake3::Hasher,
    touched: Instant,
    _part: UploadPart,
}

impl Upload {
    /// Begins one of `announced` bytes.
    pub(super) fn begin(
        announced: u64,
        hash: [u8; 32],
        bytes_max: u64,
        load: &Arc<Load>,
        now: Instant,
    ) -> Result<Self, Failure> {
        if announced > bytes_max {
            return Err(Failure::new(
                Code::TooLarge,
                format!(
                    "the module is {announced} bytes long; the limit is {bytes_max} (module_bytes_max in node.toml)"
                ),
            ));
        }
        Ok(Self {
            wasm: Vec::new(),
            announced,
            hash,
            hasher: blake3::Hasher::new(),
            touched: now,
            _part: load.upload(announced)?,
        })
    }

    /// Takes the next piece.
    pub(super) fn piece(&mut self, piece: &[u8], now: Instant) -> Result<(), Failure> {
        if piece.len() > UPLOAD_CHUNK_BYTES {
            let text = format!(
                "a piece of an upload has {} bytes; the limit is {UPLOAD_CHUNK_BYTES}",
                piece.len()
            );
            return Err(Failure::new(Code::TooLarge, text));
        }
        if length(&self.wasm) + length(piece) > self.announced {
            let text = format!(
                "the upload is longer than the {} bytes that were announced",
                self.announced
            );
            return Err(Failure::new(Code::BadArguments, text));
        }
        self.wasm.extend_from_slice(piece);
        self.hasher.update(piece);
        self.touched = now;
        Ok(())
    }

    /// That the binary is whole and is what was announced.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if length(&self.wasm) < self.announced {
            let text = format!(
                "{} of the {} bytes of the upload have arrived",
                self.wasm.len(),
                self.announced
            );
            return Err(Failure::new(Code::BadArguments, text));
        }
        if *self.hasher.finalize().as_bytes() != self.hash {
            return Err(Failure::new(
                Code::Corrupt,
                "the upload does not have the hash that was announced; try again",
            ));
        }
        Ok(())
    }

    /// The whole binary.
    pub(super) fn finish(self) -> Result<Vec<u8>, Failure> {
        self.check()?;
        Ok(self.wasm)
    }

    /// When it has rested too long.
    pub(super) fn deadline(&self) -> Instant {
        self.touched + REST_MAX
    }
}

fn length(bytes: &[u8]) -> u64 {
    // No slice is longer than 2^64 bytes.
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(announced: u64, wasm: &[u8]) -> Result<Upload, Failure> {
        Upload::begin(
            announced,
            *blake3::hash(wasm).as_bytes(),
            10,
            &Arc::new(Load::new(&crate::ingress::Bounds::default())),
            Instant::now(),
        )
    }

    #[test]
    fn a_whole_upload_comes_out_as_it_went_in() {
        let mut upload = begin(6, b"abcdef").unwrap();
        upload.piece(b"abcd", Instant::now()).unwrap();
        upload.piece(b"ef", Instant::now()).unwrap();
        assert_eq!(upload.finish().unwrap(), b"abcdef");
    }

    #[test]
    fn what_was_not_announced_is_refused() {
        assert_eq!(begin(11, b"").unwrap_err().code, Code::TooLarge);
        let mut upload = begin(2, b"ab").unwrap();
        assert_eq!(
            upload.piece(b"abc", Instant::now()).unwrap_err().code,
            Code::BadArguments
        );
        upload.piece(b"a", Instant::now()).unwrap();
        assert_eq!(upload.finish().unwrap_err().code, Code::BadArguments);
        let mut upload = begin(2, b"ab").unwrap();
        upload.piece(b"ax", Instant::now()).unwrap();
        assert_eq!(upload.finish().unwrap_err().code, Code::Corrupt);
    }
}
