//! Reading an archive: every block is checked before a byte of it is handed out.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;

use super::{ArchiveError, BLOCK_BYTES, CHECKSUM_BYTES, HEADER_BYTES, Kind, checksum};

/// The longest item: twice the longest row. A file that claims more is not read into memory.
const ITEM_BYTES_MAX: u64 = 2 << 30;

/// What is read of an item at a time: its length is a claim.
const PIECE_BYTES: u64 = 1 << 20;

/// An archive that is being read, from the front.
pub struct ArchiveReader {
    file: BufReader<File>,
    path: PathBuf,
    content: Vec<u8>,
    /// How much of `content` was handed out.
    taken: usize,
    previous: [u8; CHECKSUM_BYTES],
    /// Where the next block begins.
    offset: u64,
    ended: bool,
}

impl ArchiveReader {
    /// Opens an archive of this kind.
    ///
    /// # Errors
    /// [`ArchiveError::Io`], [`ArchiveError::Foreign`], [`ArchiveError::Format`].
    pub fn open(path: &Path, kind: Kind) -> Result<Self, ArchiveError> {
        let wrong = |source| ArchiveError::Io {
            operation: "open",
            file: path.to_owned(),
            source,
        };
        let foreign = || ArchiveError::Foreign {
            file: path.to_owned(),
            expected: kind.name,
        };
        let file = File::open(path).map_err(wrong)?;
        if !file.metadata().map_err(wrong)?.is_file() {
            return Err(foreign());
        }
        let mut file = BufReader::new(file);
        let mut header = [0; HEADER_BYTES];
        match file.read_exact(&mut header) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(foreign()),
            other => other.map_err(wrong)?,
        }
        let expected = kind.header();
        let (name, format) = header.split_at(HEADER_BYTES - 1);
        if !expected.starts_with(name) {
            return Err(foreign());
        }
        if let [found] = *format
            && found != kind.format
        {
            return Err(ArchiveError::Format {
                file: path.to_owned(),
                found,
                expected: kind.format,
            });
        }
        Ok(Self {
            file,
            path: path.to_owned(),
            content: Vec::new(),
            taken: 0,
            previous: *blake3::hash(&header).as_bytes(),
            offset: HEADER_BYTES as u64,
            ended: false,
        })
    }

    /// The next item, in postcard; `None` behind the last.
    ///
    /// # Errors
    /// [`ArchiveError::Io`], [`ArchiveError::Damaged`].
    pub fn item<T: DeserializeOwned>(&mut self) -> Result<Option<T>, ArchiveError> {
        let Some(bytes) = self.bytes()? else {
            return Ok(None);
        };
        match postcard::take_from_bytes(&bytes) {
            Ok((item, [])) => Ok(Some(item)),
            Ok(_) => Err(self.damaged("bytes follow an item")),
            Err(error) => Err(self.damaged(error)),
        }
    }

    /// The next item as it is; `None` behind the last.
    ///
    /// # Errors
    /// [`ArchiveError::Io`], [`ArchiveError::Damaged`].
    pub fn bytes(&mut self) -> Result<Option<Vec<u8>>, ArchiveError> {
        if !self.fill()? {
            return Ok(None);
        }
        let mut length = [0; 8];
        self.take(&mut length)?;
        let mut left = u64::from_le_bytes(length);
        if left > ITEM_BYTES_MAX {
            return Err(self.damaged(format!("an item claims {left} bytes")));
        }
        let mut item = Vec::new();
        while left > 0 {
            let piece = left.min(PIECE_BYTES);
            let start = item.len();
            item.resize(start + usize::try_from(piece).unwrap_or(0), 0);
            self.take(item.get_mut(start..).unwrap_or_default())?;
            left -= piece;
        }
        Ok(Some(item))
    }

    /// The error for content that was read and makes no sense.
    pub fn damaged(&self, problem: impl std::fmt::Display) -> ArchiveError {
        ArchiveError::Damaged {
            file: self.path.clone(),
            offset: self.offset,
            problem: problem.to_string(),
        }
    }

    fn take(&mut self, mut out: &mut [u8]) -> Result<(), ArchiveError> {
        while !out.is_empty() {
            if !self.fill()? {
                return Err(self.damaged("it ends inside an item"));
            }
            let rest = self.content.get(self.taken..).unwrap_or_default();
            let count = rest.len().min(out.len());
            let (now, later) = out.split_at_mut(count);
            now.copy_from_slice(rest.get(..count).unwrap_or_default());
            self.taken += count;
            out = later;
        }
        Ok(())
    }

    /// Sees to it that something is there to hand out; false at the end.
    fn fill(&mut self) -> Result<bool, ArchiveError> {
        while self.taken == self.content.len() {
            if self.ended {
                return Ok(false);
            }
            self.block()?;
        }
        Ok(true)
    }

    fn block(&mut self) -> Result<(), ArchiveError> {
        self.content.clear();
        self.taken = 0;
        let length = self.number()?;
        if length == 0 {
            let sum = self.read::<CHECKSUM_BYTES>()?;
            if sum != checksum(&self.previous, [0, 0], &[]) {
                return Err(self.damaged("the checksum of its end does not fit"));
            }
            let mut more = [0];
            let more = self
                .file
                .read(&mut more)
                .map_err(|error| self.wrong(error))?;
            if more > 0 {
                return Err(self.damaged("something follows its end"));
            }
            self.ended = true;
            return Ok(());
        }
        let compressed_length = self.number()?;
        let content = usize::try_from(length).unwrap_or(usize::MAX);
        let compressed_bytes = usize::try_from(compressed_length).unwrap_or(usize::MAX);
        // What does not compress grows by a few bytes.
        if content > BLOCK_BYTES || compressed_bytes > zstd::zstd_safe::compress_bound(BLOCK_BYTES)
        {
            return Err(self.damaged(format!("a block claims {length} bytes")));
        }
        let sum = self.read::<CHECKSUM_BYTES>()?;
        let mut compressed = vec![0; compressed_bytes];
        self.file
            .read_exact(&mut compressed)
            .map_err(|error| self.wrong(error))?;
        if sum != checksum(&self.previous, [length, compressed_length], &compressed) {
            return Err(self.damaged("the checksum of a block does not fit"));
        }
        let unpacked = zstd::bulk::decompress(&compressed, content);
        self.content = unpacked.map_err(|error| self.damaged(error))?;
        if self.content.len() != content {
            return Err(self.damaged("a block is shorter than it claims"));
        }
        self.previous = sum;
        let lengths = 2 * std::mem::size_of::<u32>() + CHECKSUM_BYTES;
        self.offset += (lengths + compressed.len()) as u64;
        Ok(())
    }

    fn number(&mut self) -> Result<u32, ArchiveError> {
        self.read().map(u32::from_le_bytes)
    }

    fn read<const COUNT: usize>(&mut self) -> Result<[u8; COUNT], ArchiveError> {
        let mut bytes = [0; COUNT];
        match self.file.read_exact(&mut bytes) {
            Ok(()) => Ok(bytes),
            Err(error) => Err(self.wrong(error)),
        }
    }

    fn wrong(&self, source: io::Error) -> ArchiveError {
        if source.kind() == io::ErrorKind::UnexpectedEof {
            return self.damaged("it ends too early");
        }
        ArchiveError::Io {
            operation: "read",
            file: self.path.clone(),
            source,
        }
    }
}
