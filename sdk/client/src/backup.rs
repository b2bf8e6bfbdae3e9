//! Backups: the node writes one at a moment, and it is fetched in pieces.

use interstice_abi::{
    id::Seq,
    wire::{RequestBody, ResponseBody},
};

use crate::{Client, Error, answer::unexpected};

/// A backup that the node has written and that waits to be fetched on this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backup {
    number: u64,
    /// Its size in bytes.
    pub bytes: u64,
    /// The last turn that it holds.
    pub seq: Seq,
}

impl Client {
    /// Has the node write a backup of this moment; the node goes on working. Fetch it with
    /// [`Client::backup_piece`], and end with
    /// [`Client::end_backup`]: until then, or until the connection ends, it takes room on the node's disk. Owners only.
    ///
    /// # Errors
    /// [`Error::Failed`] when it is refused or cannot be written, [`Error::Lost`].
    pub async fn begin_backup(&self) -> Result<Backup, Error> {
        match self.ask(RequestBody::Backup).await? {
            ResponseBody::Backup { number, bytes, seq } => Ok(Backup { number, bytes, seq }),
            other => Err(unexpected("a backup", &other)),
        }
    }

    /// The piece of `backup` that begins at `offset`, in bytes; empty behind its end.
    ///
    /// # Errors
    /// [`Error::Failed`], [`Error::Lost`].
    pub async fn backup_piece(&self, backup: &Backup, offset: u64) -> Result<Vec<u8>, Error> {
        let number = backup.number;
        match self
            .ask(RequestBody::BackupPiece { number, offset })
            .await?
        {
            ResponseBody::Piece { bytes } => Ok(bytes),
            other => Err(unexpected("a piece of a backup", &other)),
        }
    }

    /// The node may remove its copy of `backup`.
    ///
    /// # Errors
    /// [`Error::Lost`], and then it is removed as well.
    pub async fn end_backup(&self, backup: &Backup) -> Result<(), Error> {
        let number = backup.number;
        self.done(RequestBody::BackupEnd { number }).await
    }
}
