//! Deploying: a module's binary goes up in pieces, some of them under way at a time, then the order to install it.

use futures::{StreamExt as _, TryStreamExt as _, stream::FuturesOrdered};
use interstice_abi::wire::{
    DeployOptions, DeployReport, RequestBody, ResponseBody, UPLOAD_CHUNK_BYTES,
};

use crate::{Client, Error, link::unexpected};

/// Pieces under way: two megabytes, enough for any network.
const PIECES_UNDER_WAY: usize = 8;

/// How far an upload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that the node has confirmed.
    pub sent: u64,
    /// Bytes in all.
    pub total: u64,
}

impl Client {
    /// Installs or upgrades the module whose binary is `wasm`. `progress` is told of every piece that has arrived; after the
    /// last one the node checks and installs. Uploads of clones wait for each other. Owners only.
    ///
    /// # Errors
    /// [`Error::Failed`] when it is refused, and then nothing has changed; [`Error::OutcomeUnknown`] when the connection is
    /// lost after the order was given, [`Error::Lost`] before.
    pub async fn deploy(
        &self,
        wasm: &[u8],
        options: DeployOptions,
        mut progress: impl FnMut(Progress) + Send,
    ) -> Result<DeployReport, Error> {
        let _turn = self.shared.uploading.lock().await;
        // No binary is longer than 2^64 bytes.
        let total = u64::try_from(wasm.len()).unwrap_or(u64::MAX);
        self.done(RequestBody::UploadBegin {
            bytes: total,
            hash: *blake3::hash(wasm).as_bytes(),
        })
        .await?;
        let mut sent = 0;
        let mut under_way = FuturesOrdered::new();
        for piece in wasm.chunks(UPLOAD_CHUNK_BYTES) {
            if under_way.len() == PIECES_UNDER_WAY {
                confirmed(under_way.next().await, &mut sent, total, &mut progress)?;
            }
            under_way.push_back(self.piece(piece));
        }
        while let Some(length) = under_way.try_next().await? {
            confirmed(Some(Ok(length)), &mut sent, total, &mut progress)?;
        }
        match self.ask(RequestBody::Deploy { options }).await? {
            ResponseBody::Deployed(report) => Ok(report),
            other => Err(unexpected("a deploy", &other)),
        }
    }

    /// Sends a piece at once; its length when it has arrived.
    fn piece(&self, piece: &[u8]) -> impl Future<Output = Result<u64, Error>> + Send + use<> {
        let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        let asked = self.ask(RequestBody::UploadChunk {
            bytes: piece.to_vec(),
        });
        async move {
            match asked.await? {
                ResponseBody::Done => Ok(length),
                other => Err(unexpected("a piece's confirmation", &other)),
            }
        }
    }
}

fn confirmed(
    length: Option<Result<u64, Error>>,
    sent: &mut u64,
    total: u64,
    progress: &mut impl FnMut(Progress),
) -> Result<(), Error> {
    if let Some(length) = length {
        *sent += length?;
        progress(Progress { sent: *sent, total });
    }
    Ok(())
}
