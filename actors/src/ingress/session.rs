//! What one client has said so far, and what its next message therefore means. Decides only;
//! reading, writing and handing over are done by [`super::connection`].

use std::{sync::Arc, time::Instant};

use interstice_abi::{
    failure::{Code, Failure},
    text::quoted,
    wire::{
        DeployHow, DeployOptions, FRAME_BYTES_MAX, Request, RequestBody, Response, ResponseBody,
        Standing,
    },
};

use super::{
    Bounds, Entrance, Entrant, FrontDoor, Peer, Replies, Work, load::Load, replies::SMALL_BYTES,
    upload::Upload,
};

/// Largest first frame: a greeting has a program's name in it, and nobody has said yet who this is.
pub(super) const GREETING_BYTES_MAX: u32 = 4096;

/// Most modules that are deployed together: more than depend on each other in practice.
const KEPT_MAX: usize = 64;

/// What a session knows of the node around it.
pub(super) struct Around {
    pub(super) door: Arc<dyn FrontDoor>,
    pub(super) entrance: Arc<Entrance>,
    /// The connection's place; one that this node has dialled has none.
    pub(super) entrant: Option<Arc<Entrant>>,
    pub(super) load: Arc<Load>,
    pub(super) bounds: Bounds,
}

/// One client's side of the protocol.
pub(super) struct Session {
    peer: Arc<Peer>,
    around: Around,
    replies: Replies,
    state: State,
    upload: Option<Upload>,
    /// Uploads that wait to be deployed together.
    kept: Vec<Upload>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Silent,
    Greeted,
}

impl Session {
    pub(super) fn new(peer: Peer, around: Around, replies: Replies) -> Self {
        let (peer, state, upload) = (Arc::new(peer), State::Silent, None);
        Self {
            peer,
            around,
            replies,
            state,
            upload,
            kept: Vec::new(),
        }
    }

    /// Something has come.
    pub(super) fn heard(&self, now: Instant) {
        if let (Some(entrant), State::Greeted) = (&self.around.entrant, self.state) {
            self.around.entrance.heard(entrant, now);
        }
    }

    pub(super) fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }

    pub(super) fn has_greeted(&self) -> bool {
        self.state == State::Greeted
    }

    /// The largest frame that is taken next.
    pub(super) fn frame_bytes_max(&self) -> u32 {
        match self.state {
            State::Silent => GREETING_BYTES_MAX,
            State::Greeted => FRAME_BYTES_MAX,
        }
    }

    /// When an upload has rested too long.
    pub(super) fn upload_deadline(&self) -> Option<Instant> {
        let kept = self.kept.iter().chain(&self.upload);
        kept.map(Upload::deadline).max()
    }

    /// Gives an upload's memory back.
    pub(super) fn drop_upload(&mut self) {
        self.upload = None;
        self.kept.clear();
    }

    /// Answers `request`, whose frame has `bytes`, or adds to `work` what the node is to do.
    ///
    /// # Errors
    /// The client does not keep to the protocol: why, after which the stream is closed.
    pub(super) fn take(
        &mut self,
        request: Request,
        bytes: u64,
        now: Instant,
        work: &mut Vec<Work>,
    ) -> Result<(), Failure> {
        let Request { id, body } = request;
        if self.state == State::Silent {
            return self.greet(id, &body, now);
        }
        let answer = match body {
            RequestBody::Hello { .. } => Err(Failure::new(
                Code::BadArguments,
                "this stream has been greeted already",
            )),
            RequestBody::Ping => Ok(ResponseBody::Done),
            RequestBody::UploadBegin { bytes, hash } => self.begin_upload(bytes, hash, now),
            RequestBody::UploadChunk { bytes } => self.take_piece(&bytes, now),
            RequestBody::Deploy { options } => return self.deploy(id, options, work),
            RequestBody::UploadEnd => self.keep_upload(),
            RequestBody::DeployAll { options, how } => {
                return self.deploy_all(id, options, how, work);
            }
            // It has no answer and takes no place, so only those that end something go on.
            RequestBody::Cancel { id: ended } => {
                if self.replies.stream_cancelled(ended) {
                    work.push(Work::Request(Request { id, body }));
                }
                return Ok(());
            }
            body => match self.place(id, bytes, work) {
                Ok(()) => {
                    if body.has_stream() {
                        self.replies.stream_begun(id);
                    }
                    work.push(Work::Request(Request { id, body }));
                    return Ok(());
                }
                Err(busy) => Err(busy),
            },
        };
        self.replies.more(Response { id, body: answer });
        Ok(())
    }

    fn greet(&mut self, id: u64, body: &RequestBody, now: Instant) -> Result<(), Failure> {
        let RequestBody::Hello { agent } = body else {
            return Err(Failure::new(
                Code::BadArguments,
                "the first message of a stream must be a greeting (Hello)",
            ));
        };
        if let Err(failure) = self.admit(now) {
            // The answer to the greeting, and the reason why the stream is closed.
            self.replies.more(Response {
                id,
                body: Err(failure.clone()),
            });
            return Err(failure);
        }
        self.state = State::Greeted;
        tracing::debug!(peer = %self.peer.node, agent = %quoted(agent), "a client has greeted");
        let door = &self.around.door;
        door.connected(self.peer.clone(), self.replies.clone());
        let welcome = door.welcome(&self.peer);
        self.replies.more(Response {
            id,
            body: Ok(ResponseBody::Welcome(welcome)),
        });
        Ok(())
    }

    /// Whether this client may come in.
    fn admit(&self, now: Instant) -> Result<(), Failure> {
        let node = &self.peer.node;
        if !self.around.door.admits(node) {
            let text = format!(
                "this node serves the keys that its owners have listed, and {node} is not among them; ask an owner to add it to `allowed` in the node's node.toml and to restart the node"
            );
            return Err(Failure::new(Code::Denied, text));
        }
        match &self.around.entrant {
            Some(entrant) => {
                self.around
                    .entrance
                    .greet(entrant, self.peer.standing, &self.replies, now)
            }
            None => Ok(()),
        }
    }

    /// A place among the requests under way, those of this batch counted.
    fn place(&self, id: u64, bytes: u64, work: &[Work]) -> Result<(), Failure> {
        let Bounds {
            requests_in_flight,
            request_bytes,
            ..
        } = self.around.bounds;
        let in_batch = u32::try_from(work.len()).unwrap_or(u32::MAX);
        let under_way = self.replies.in_flight().saturating_add(in_batch);
        if under_way >= requests_in_flight {
            let text = format!(
                "{requests_in_flight} requests of this connection are under way, which is the limit (requests_per_connection_max in node.toml)"
            );
            return Err(Failure::new(Code::Busy, text));
        }
        let large = if bytes > SMALL_BYTES { bytes } else { 0 };
        let held = self.replies.large_bytes();
        // One that is larger than the bound is let in alone: its own limit has passed it.
        if large > 0 && held > 0 && held.saturating_add(large) > request_bytes {
            let text = format!(
                "{held} bytes of requests of this connection are under way; the limit is {request_bytes} (admission.bytes_per_client_max in node.toml)"
            );
            return Err(Failure::new(Code::Busy, text));
        }
        let requests = u64::from(in_batch) + 1;
        self.around
            .load
            .check(self.peer.standing, requests, large)?;
        self.replies.weighs(id, bytes);
        Ok(())
    }

    fn owner(&self, what: &str) -> Result<(), Failure> {
        match self.peer.standing {
            Standing::Owner => Ok(()),
            Standing::Guest => {
                let text = format!(
                    "{what} is for owners of the node; {} is none",
                    self.peer.node
                );
                Err(Failure::new(Code::Denied, text))
            }
        }
    }

    fn begin_upload(
        &mut self,
        bytes: u64,
        hash: [u8; 32],
        now: Instant,
    ) -> Result<ResponseBody, Failure> {
        self.owner("uploading a module")?;
        // One at a time: what was begun before and not deployed is dropped.
        self.upload = None;
        self.upload = Some(Upload::begin(
            bytes,
            hash,
            self.around.bounds.module_bytes_max,
            &self.around.load,
            now,
        )?);
        Ok(ResponseBody::Done)
    }

    fn take_piece(&mut self, piece: &[u8], now: Instant) -> Result<ResponseBody, Failure> {
        self.owner("uploading a module")?;
        let taken = self
            .upload
            .as_mut()
            .ok_or_else(no_upload)?
            .piece(piece, now);
        if taken.is_err() {
            self.upload = None;
        }
        taken.map(|()| ResponseBody::Done)
    }

    fn deploy(
        &mut self,
        id: u64,
        options: DeployOptions,
        work: &mut Vec<Work>,
    ) -> Result<(), Failure> {
        let wasm = self
            .owner("deploying a module")
            .and_then(|()| self.upload.take().ok_or_else(no_upload)?.finish())
            .and_then(|wasm| {
                let bytes = u64::try_from(wasm.len()).unwrap_or(u64::MAX);
                self.place(id, bytes, work).map(|()| wasm)
            });
        match wasm {
            Ok(wasm) => work.push(Work::Deploy { id, wasm, options }),
            Err(failure) => self.replies.more(Response {
                id,
                body: Err(failure),
            }),
        }
        Ok(())
    }
}

impl Session {
    fn keep_upload(&mut self) -> Result<ResponseBody, Failure> {
        self.owner("uploading a module")?;
        let upload = self.upload.take().ok_or_else(no_upload)?;
        upload.check()?;
        if self.kept.len() >= KEPT_MAX {
            let text = format!("at most {KEPT_MAX} modules are deployed together");
            return Err(Failure::new(Code::TooLarge, text));
        }
        self.kept.push(upload);
        Ok(ResponseBody::Done)
    }

    fn deploy_all(
        &mut self,
        id: u64,
        options: DeployOptions,
        how: DeployHow,
        work: &mut Vec<Work>,
    ) -> Result<(), Failure> {
        let modules = self.owner("deploying modules").and_then(|()| {
            let kept = std::mem::take(&mut self.kept).into_iter();
            let modules: Vec<Vec<u8>> = kept.map(Upload::finish).collect::<Result<_, _>>()?;
            if modules.is_empty() {
                return Err(no_upload());
            }
            let bytes: usize = modules.iter().map(Vec::len).sum();
            let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
            self.place(id, bytes, work).map(|()| modules)
        });
        match modules {
            Ok(modules) => work.push(Work::DeployAll {
                id,
                modules,
                options,
                how,
            }),
            Err(failure) => self.replies.more(Response {
                id,
                body: Err(failure),
            }),
        }
        Ok(())
    }
}

fn no_upload() -> Failure {
    Failure::new(
        Code::BadArguments,
        "no upload is under way on this stream; it may have rested too long, begin again",
    )
}
