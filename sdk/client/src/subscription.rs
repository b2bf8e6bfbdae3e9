//! Streams of answers: watches, logs, tables as they were. Dropping one ends it at the node.

use std::{
    marker::PhantomData,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
};

use futures::Stream;
use interstice_abi::wire::{LogLine, RequestBody, ResponseBody, TableAt, WatchEvent};

use crate::{Error, client::Shared, link::Arriving};

/// A table's rows, then its changes, in order, until dropped.
pub type Watch = Subscription<WatchEvent>;

/// Lines of a node's log, until they end or it is dropped.
pub type Logs = Subscription<Vec<LogLine>>;

/// Answers that keep coming. The first error is the last item.
#[derive(Debug)]
pub struct Subscription<T> {
    /// Keeps the connection.
    shared: Arc<Shared>,
    arriving: Arriving,
    state: State,
    item: PhantomData<fn() -> T>,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Open,
    Ended,
}

/// What can come on a stream of answers.
pub trait Streamed: Sized + sealed::Sealed {}

mod sealed {
    use interstice_abi::wire::{LogLine, ResponseBody, TableAt, WatchEvent};

    use crate::{Error, answer::unexpected};

    /// Takes the item out of an answer.
    pub trait Sealed: Sized {
        /// The item, or an error about an answer of another kind.
        fn pick(body: ResponseBody) -> Result<Self, Error>;
    }

    impl Sealed for WatchEvent {
        fn pick(body: ResponseBody) -> Result<Self, Error> {
            match body {
                ResponseBody::Watch(event) => Ok(event),
                other => Err(unexpected("rows and changes", &other)),
            }
        }
    }

    impl Sealed for Vec<LogLine> {
        fn pick(body: ResponseBody) -> Result<Self, Error> {
            match body {
                ResponseBody::Log(lines) => Ok(lines),
                other => Err(unexpected("lines of the log", &other)),
            }
        }
    }

    impl Sealed for TableAt {
        fn pick(body: ResponseBody) -> Result<Self, Error> {
            match body {
                ResponseBody::TableAt(part) => Ok(part),
                other => Err(unexpected("rows as they were", &other)),
            }
        }
    }
}

impl Streamed for WatchEvent {}
impl Streamed for Vec<LogLine> {}
impl Streamed for TableAt {}

impl<T> Subscription<T> {
    pub(crate) fn start(shared: &Arc<Shared>, body: RequestBody) -> Result<Self, Error> {
        let arriving = shared.link.subscribe(body)?;
        Ok(Self {
            shared: shared.clone(),
            arriving,
            state: State::Open,
            item: PhantomData,
        })
    }
}

impl<T: Streamed> Stream for Subscription<T> {
    type Item = Result<T, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.state == State::Ended {
            return Poll::Ready(None);
        }
        let item = match ready!(self.arriving.answers.poll_recv(cx)) {
            None | Some((Ok(ResponseBody::Ended), _)) => {
                self.state = State::Ended;
                return Poll::Ready(None);
            }
            Some((Err(error), _)) => {
                self.state = State::Ended;
                return Poll::Ready(Some(Err(error)));
            }
            Some((Ok(body), bytes)) => {
                self.arriving.unread.fetch_sub(bytes, Ordering::Relaxed);
                T::pick(body)
            }
        };
        Poll::Ready(Some(item))
    }
}

impl<T> Drop for Subscription<T> {
    fn drop(&mut self) {
        if self.state == State::Open {
            self.shared.link.cancel(self.arriving.id);
        }
    }
}
