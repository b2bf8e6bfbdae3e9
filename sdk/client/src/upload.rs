//! Deploying: a module's binary goes up in pieces, some of them under way at a time, then the
//! order to install it.

use futures::{StreamExt as _, TryStreamExt as _, stream::FuturesOrdered};
use interstice_abi::wire::{
    DeployHow, DeployOptions, DeployPlan, DeployReport, RequestBody, ResponseBody,
    UPLOAD_CHUNK_BYTES,
};

use crate::{Client, Error, answer::unexpected};

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
    /// Installs or upgrades the module whose binary is `wasm`. `progress` is told of every piece
    /// that has arrived; after the last one the node checks and installs. Uploads of clones wait
    /// for each other. Owners only.
    ///
    /// # Errors
    /// [`Error::Failed`] when it is refused, and then nothing has changed;
    /// [`Error::OutcomeUnknown`] when the connection is lost after the order was given,
    /// [`Error::Lost`] before.
    pub async fn deploy(
        &self,
        wasm: &[u8],
        options: DeployOptions,
        mut progress: impl FnMut(Progress) + Send,
    ) -> Result<DeployReport, Error> {
        let _turn = self.shared.uploading.lock().await;
        self.upload(wasm, &mut progress).await?;
        match self.ask(RequestBody::Deploy { options }).await? {
            ResponseBody::Deployed(report) => Ok(report),
            other => Err(unexpected("a deploy", &other)),
        }
    }

    /// Installs or upgrades the modules whose binaries these are, together: all of them or none.
    /// The reports come in the order in which the modules were loaded. Otherwise as
    /// [`Client::deploy`].
    ///
    /// # Errors
    /// As [`Client::deploy`].
    pub async fn deploy_all(
        &self,
        wasms: &[&[u8]],
        options: DeployOptions,
        progress: impl FnMut(Progress) + Send,
    ) -> Result<Vec<DeployReport>, Error> {
        let answer = self.together(wasms, options, DeployHow::Install, progress);
        match answer.await? {
            ResponseBody::DeployedAll(reports) => Ok(reports),
            other => Err(unexpected("a deploy", &other)),
        }
    }

    /// What [`Client::deploy_all`] would do. Nothing changes. Owners only.
    ///
    /// # Errors
    /// What is wrong with a binary, or with the connection. What speaks against the deploy stands
    /// in the plan.
    pub async fn plan(
        &self,
        wasms: &[&[u8]],
        options: DeployOptions,
        progress: impl FnMut(Progress) + Send,
    ) -> Result<DeployPlan, Error> {
        let answer = self.together(wasms, options, DeployHow::Plan, progress);
        match answer.await? {
            ResponseBody::Planned(plan) => Ok(plan),
            other => Err(unexpected("a plan", &other)),
        }
    }

    async fn together(
        &self,
        wasms: &[&[u8]],
        options: DeployOptions,
        how: DeployHow,
        mut progress: impl FnMut(Progress) + Send,
    ) -> Result<ResponseBody, Error> {
        let _turn = self.shared.uploading.lock().await;
        let length = |wasm: &&[u8]| u64::try_from(wasm.len()).unwrap_or(u64::MAX);
        let total = wasms.iter().map(length).sum();
        let mut before = 0;
        for wasm in wasms {
            let mut part = |done: Progress| {
                progress(Progress {
                    sent: before + done.sent,
                    total,
                });
            };
            self.upload(wasm, &mut part).await?;
            self.done(RequestBody::UploadEnd).await?;
            before += length(wasm);
        }
        self.ask(RequestBody::DeployAll { options, how }).await
    }

    /// Sends a binary.
    async fn upload(
        &self,
        wasm: &[u8],
        progress: &mut (impl FnMut(Progress) + Send),
    ) -> Result<(), Error> {
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
                confirmed(under_way.next().await, &mut sent, total, progress)?;
            }
            under_way.push_back(self.piece(piece));
        }
        while let Some(length) = under_way.try_next().await? {
            confirmed(Some(Ok(length)), &mut sent, total, progress)?;
        }
        Ok(())
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
