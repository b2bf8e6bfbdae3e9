//! What clients ask, and where it goes: to the barrier, when it takes a place in a queue, or to an answer at once.
//!
//! Requests that take a place pass the barrier in the order in which they came. Who may ask what is in `sight.rs`; how a
//! request gets its place is in `placed.rs`.

pub(crate) mod sight;

pub(crate) mod batched;

mod past;

mod placed;

mod timers;

mod wanted;

use std::sync::Arc;

use actix::prelude::{AsyncContext, Context};
use interstice_abi::{
    failure::{Code, Failure},
    wire::{DeployHow, Request, RequestBody, Response, ResponseBody},
};

use self::{batched::Batched, sight::owner};
use crate::{
    ingress::{Batch, Peer, Replies, Work},
    lines::Begin,
    module::readings::Readings,
    supervisor::{
        Supervisor,
        barrier::Parked,
        change::{Asker, Change, TakeChange, WhenNeeded},
        inspect::{Subject, logs::LogsRequest},
        install::prepared::DeployOrder,
    },
};

impl Supervisor {
    /// Takes in a batch of one connection.
    pub(crate) fn requests(&mut self, batch: Batch, ctx: &mut Context<Self>) {
        let Batch {
            peer,
            work,
            replies,
        } = batch;
        let (peer, replies) = (Arc::new(peer.apart()), replies.apart());
        self.batched = Some(Batched::new(&self.catalogue, self.shared.now_ms()));
        for work in work {
            match work {
                Work::Request(request) => self.request(&peer, request, &replies, ctx),
                Work::Deploy { id, wasm, options } => {
                    self.prepare_deploy(
                        vec![wasm],
                        options,
                        DeployOrder::One,
                        Asker::Client {
                            replies: replies.clone(),
                            request: id,
                        },
                        ctx,
                    );
                }
                Work::DeployAll {
                    id,
                    modules,
                    options,
                    how,
                } => {
                    let asker = Asker::Client {
                        replies: replies.clone(),
                        request: id,
                    };
                    let order = match how {
                        DeployHow::Install => DeployOrder::Together,
                        DeployHow::Plan => DeployOrder::Plan,
                    };
                    self.prepare_deploy(modules, options, order, asker, ctx);
                }
            }
        }
        self.batched = None;
    }

    fn request(
        &mut self,
        peer: &Arc<Peer>,
        request: Request,
        replies: &Replies,
        ctx: &mut Context<Self>,
    ) {
        let id = request.id;
        if request.body.takes_place() {
            let (peer, replies) = (peer.clone(), replies.clone());
            let request = Parked::Request {
                peer,
                request,
                replies,
            };
            return self.park_or(request, ctx);
        }
        if let RequestBody::RowsAs {
            after: Some(after),
            limit,
            ..
        } = &request.body
        {
            let (connection, back) = (peer.connection.0, (replies.clone(), id));
            let asked =
                Readings::answer_next(&self.shared, connection, (after.as_slice(), *limit), back);
            if let Err(failure) = asked {
                let body = Err(failure);
                replies.send(Response { id, body });
            }
            return;
        }
        match request.body {
            RequestBody::TimerCounts => {
                self.timer_counts(peer, replies, id);
                return;
            }
            RequestBody::Timers { .. } => {
                if let Err(failure) = self.pending_timers(peer, request.body, replies, id) {
                    let body = Err(failure);
                    replies.send(Response { id, body });
                }
                return;
            }
            _ => {}
        }
        match self.immediate(peer, request, replies, ctx) {
            Ok(Some(body)) => replies.send(Response { id, body: Ok(body) }),
            Ok(None) => {}
            Err(failure) => replies.send(Response {
                id,
                body: Err(failure),
            }),
        }
    }

    /// Answers what needs no place: `Ok(None)` when the answer comes later or there is none.
    fn immediate(
        &mut self,
        peer: &Arc<Peer>,
        request: Request,
        replies: &Replies,
        ctx: &mut Context<Self>,
    ) -> Result<Option<ResponseBody>, Failure> {
        let id = request.id;
        let asker = || Asker::Client {
            replies: replies.clone(),
            request: id,
        };
        match request.body {
            RequestBody::Schema { module } => {
                self.schema(peer, &module, replies, id)?;
                Ok(None)
            }
            RequestBody::NodeStatus => {
                self.node_status(peer, replies.clone(), id);
                Ok(None)
            }
            RequestBody::ModuleStatus { module } => {
                self.module_status(peer, module.as_deref(), replies, id)?;
                Ok(None)
            }
            RequestBody::Cancel { id: ended } => {
                self.cancel(peer, ended, replies);
                Ok(None)
            }
            RequestBody::Logs {
                module,
                tail,
                after,
                follow,
            } => {
                owner(peer)?;
                let module = module
                    .map(|name| self.catalogue.find(&name).map(|index| self.name_of(index)))
                    .transpose()?;
                let wanted = LogsRequest {
                    lines: self.shared.lines.clone(),
                    connection: peer.connection.0,
                    module,
                    begin: after.map_or(Begin::Tail(tail), Begin::After),
                    mode: follow,
                    asked_at: self.shared.lines.last(),
                };
                self.inspector
                    .ask(Subject::Logs(Arc::new(wanted)), replies, id);
                Ok(None)
            }
            RequestBody::Grants { module } => {
                owner(peer)?;
                let index = self.catalogue.find(&module)?;
                let subject = Subject::Grants(self.catalogue.clone(), index);
                self.inspector.ask(subject, replies, id);
                Ok(None)
            }
            RequestBody::History {
                module,
                from,
                order,
                limit,
            } => {
                self.turns(peer, &module, (from, order, limit), (replies, id))?;
                Ok(None)
            }
            RequestBody::Stop => {
                owner(peer)?;
                self.stop_requested(replies.clone(), id, ctx);
                Ok(None)
            }
            RequestBody::Backup => {
                owner(peer)?;
                self.start_backup(peer, replies.clone(), id, ctx)?;
                Ok(None)
            }
            RequestBody::BackupPiece { number, offset } => {
                owner(peer)?;
                self.backup_piece(peer, number, offset, replies.clone(), id)?;
                Ok(None)
            }
            RequestBody::BackupEnd { number } => {
                owner(peer)?;
                self.backups.end(peer.connection.0, Some(number));
                Ok(Some(ResponseBody::Done))
            }
            body => {
                owner(peer)?;
                let change = self.change_of(body)?;
                self.refuses()?;
                ctx.address().do_send(TakeChange(change, asker()));
                Ok(None)
            }
        }
    }

    /// Ends the stream of answers to request `ended` of the same connection.
    fn cancel(&self, peer: &Peer, ended: u64, replies: &Replies) {
        let found = self.shared.watchers.end(peer.connection.0, Some(ended))
            | self.shared.lines.unfollow(peer.connection.0, Some(ended));
        if found {
            replies.send(Response {
                id: ended,
                body: Ok(ResponseBody::Ended),
            });
        }
    }

    fn change_of(&self, body: RequestBody) -> Result<Change, Failure> {
        let named = |module: &str| self.catalogue.find(module).map(|index| self.name_of(index));
        match body {
            RequestBody::Unload { module } => {
                Ok(Change::Unload(named(&module)?, WhenNeeded::Refuse))
            }
            RequestBody::UnloadNeeded { module } => {
                Ok(Change::Unload(named(&module)?, WhenNeeded::Unload))
            }
            RequestBody::Load { module } => Ok(Change::Load(named(&module)?)),
            RequestBody::Remove { module } => Ok(Change::Remove(named(&module)?)),
            RequestBody::ChangeGrant {
                module,
                target,
                change,
            } => Ok(Change::Grant {
                module: named(&module)?,
                target,
                change,
            }),
            _ => Err(Failure::new(
                Code::BadArguments,
                "this request cannot be made here; the first one is a greeting, and uploads come before deploys",
            )),
        }
    }
}
