//! Changes of the catalogue run alone: after every earlier turn has ended, before any later one starts.
//!
//! While a change waits or runs, everything that comes later is parked unrouted, in order, and counted against a bound; then
//! it is taken up by the new catalogue.

use std::collections::VecDeque;

use actix::prelude::{AsyncContext, Context};
use interstice_abi::{
    event::Event,
    failure::{Code, Failure},
    id::{ModuleName, NodeId, TimerId},
    wire::{Request, Response},
};

use super::{
    Supervisor,
    admission::shares::{GuestIndex, Load, Shares},
    change::{Asker, Change},
    pressure::Waiting,
};
use crate::{
    ingress::{Peer, Replies},
    module::turn::{PendingStep, StepKind, Ticket, Waiter},
    one_or_more::OneOrMore,
    record::Input,
};

/// Most inputs that wait behind a change, as many as a module may have admitted, for a few modules; and most bytes of their
/// arguments. Each guest has its share of both.
const PARKED_MAX: Load = Load {
    places: 32_768,
    bytes: 256 * 1024 * 1024,
};

/// Something that waits for its place in the order of inputs.
pub(crate) enum Parked {
    /// A client's request that takes a place in a queue.
    Request {
        /// Who asks.
        peer: std::sync::Arc<Peer>,
        /// What.
        request: Request,
        /// The way back.
        replies: Replies,
    },
    /// A timer is due.
    Timer(ModuleName, TimerId),
    /// A connection came or went, of a key with this number.
    Connection(NodeId, Event, Option<GuestIndex>),
    /// A change of the catalogue.
    Change(Change, Asker),
}

impl Parked {
    /// Whether its client has gone while it waited: then it ends here, and nobody reads an answer.
    fn is_of_nobody(&self) -> bool {
        let Self::Request {
            request, replies, ..
        } = self
        else {
            return false;
        };
        let has_gone = replies.is_closed();
        if has_gone {
            // The request counts as under way until it is answered.
            replies.send(Response {
                id: request.id,
                body: Err(Failure::new(Code::Unavailable, "the client has gone")),
            });
        }
        has_gone
    }

    /// Bytes of its arguments.
    fn bytes(&self) -> u64 {
        let bytes = match self {
            Self::Request { request, .. } => request.body.arguments().len(),
            Self::Timer(..) | Self::Connection(..) | Self::Change(..) => 0,
        };
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

/// Whether inputs pass.
#[derive(Default)]
pub(crate) struct Barrier {
    /// Each with the key whose share it takes.
    parked: VecDeque<(Parked, Option<GuestIndex>)>,
    /// How many those are, and whose.
    shares: Shares,
    /// A change is being made.
    running: bool,
    /// The last ticket before the change that waits in front.
    pressed: Option<Ticket>,
}

impl Barrier {
    /// Whether something waits or runs.
    pub(crate) fn is_busy(&self) -> bool {
        self.running || !self.parked.is_empty()
    }

    /// The change has been made.
    pub(crate) fn done(&mut self) {
        self.running = false;
    }

    /// Whether a change is being made.
    pub(crate) fn is_running(&self) -> bool {
        self.running
    }

    /// A change waits for all tickets up to this. Whether that was said before.
    pub(super) fn presses(&mut self, ticket: Ticket) -> bool {
        self.pressed.replace(ticket) == Some(ticket)
    }

    /// Whether a change waits for all tickets up to this.
    pub(super) fn waits_since(&self, ticket: Ticket) -> bool {
        self.pressed == Some(ticket) && !self.running
    }

    /// Forgets what waits, and answers those who asked for it with the reason: how many requests and changes that were.
    pub(crate) fn abandon(&mut self, why: Option<&Failure>) -> (usize, usize) {
        let why = why
            .cloned()
            .unwrap_or_else(|| Failure::new(Code::Unavailable, "the node is stopping"));
        let (mut requests, mut changes) = (0, 0);
        for (parked, _) in self.parked.drain(..) {
            match parked {
                Parked::Request {
                    request, replies, ..
                } => {
                    requests += 1;
                    replies.send(Response {
                        id: request.id,
                        body: Err(why.clone()),
                    });
                }
                Parked::Change(_, asker) => {
                    changes += 1;
                    asker.tell(Err(why.clone()));
                }
                Parked::Timer(..) | Parked::Connection(..) => {}
            }
        }
        self.shares = Shares::default();
        self.running = false;
        (requests, changes)
    }
}

impl Supervisor {
    /// Takes an input now, or parks it behind a change.
    pub(crate) fn park_or(&mut self, input: Parked, ctx: &mut Context<Self>) {
        if self.barrier.is_busy() || matches!(input, Parked::Change(..)) {
            self.park(input, ctx);
        } else {
            self.take(input, ctx);
        }
    }

    /// Parks an input, and lets it pass when it can.
    pub(crate) fn park(&mut self, input: Parked, ctx: &mut Context<Self>) {
        let bytes = input.bytes();
        let guest = match &input {
            Parked::Request { peer, .. } => self.guest_of(peer),
            Parked::Connection(_, _, guest) => *guest,
            Parked::Timer(..) | Parked::Change(..) => None,
        };
        let fits = self.barrier.shares.check(guest, bytes, PARKED_MAX);
        match input {
            Parked::Request {
                request, replies, ..
            } if fits.is_err() => {
                let text = "too much waits for a change of the node's modules; try again later";
                replies.send(Response {
                    id: request.id,
                    body: Err(Failure::new(Code::Busy, text)),
                });
            }
            // It is passed over, as one beyond its share of a module's queue.
            Parked::Connection(_, Event::Connect, _) if fits.is_err() => {}
            input => {
                self.admission.guests.begin_another(guest);
                self.barrier.shares.enter(guest, bytes);
                self.barrier.parked.push_back((input, guest));
            }
        }
        self.pass_barrier(ctx);
    }

    /// What waits in front, for its turn.
    fn unpark(&mut self) -> Option<(Parked, Option<GuestIndex>)> {
        let (input, guest) = self.barrier.parked.pop_front()?;
        self.barrier.shares.leave(guest, 1, input.bytes());
        Some((input, guest))
    }

    /// Lets pass what can: inputs up to the next change, and that change once everything before it has ended.
    pub(crate) fn pass_barrier(&mut self, ctx: &mut Context<Self>) {
        while !self.barrier.running {
            match self.barrier.parked.front() {
                None => return,
                Some((Parked::Change(..), _)) => {
                    self.send_out();
                    if !self.admission.is_idle() || self.checkpoints.is_freezing() {
                        self.press(Waiting::Change, ctx);
                        return;
                    }
                    if let Some((Parked::Change(change, asker), _)) = self.unpark() {
                        self.barrier.running = true;
                        self.barrier.pressed = None;
                        self.start_change(change, asker, ctx);
                    }
                }
                Some(_) => {
                    if let Some((input, guest)) = self.unpark() {
                        if !input.is_of_nobody() {
                            self.take(input, ctx);
                        }
                        self.admission.guests.end(guest, 1);
                    }
                }
            }
        }
    }

    fn take(&mut self, input: Parked, ctx: &mut Context<Self>) {
        match input {
            Parked::Request {
                peer,
                request,
                replies,
            } => self.placed_request(&peer, request, replies),
            Parked::Timer(module, timer) => self.stamp_timer(&module, timer),
            Parked::Connection(node, event, guest) => {
                if self.refuses().is_ok() || event == Event::Disconnect {
                    self.stamp_connection(&node, &event, guest);
                }
            }
            Parked::Change(change, asker) => ctx
                .address()
                .do_send(super::change::TakeChange(change, asker)),
        }
    }

    /// A timer is an input of its own.
    fn stamp_timer(&mut self, module: &ModuleName, timer: TimerId) {
        if self.refuses().is_err() {
            return;
        }
        let Some(index) = self.catalogue.index_of(module) else {
            return;
        };
        if !self
            .catalogue
            .entry(index)
            .is_some_and(super::catalogue::Entry::serves)
        {
            return;
        }
        let what = StepKind::Timer(timer);
        let step = PendingStep::of_node(&self.shared.id, index, what, Vec::new());
        let turn = self.new_turn(
            Input::Timer {
                module: module.clone(),
                timer,
            },
            OneOrMore::one(step),
            Waiter::Nobody,
        );
        self.place_turn(turn);
    }
}
