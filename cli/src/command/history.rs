//! `history`: the turns of a module, from the log of its node.

mod turn;

use clap::Args;
use interstice_abi::{
    id::Seq,
    wire::{HistoryCursor, HistoryOrder, TURNS_PER_PAGE_MAX},
};

use self::turn::Turn;
use crate::{app::App, problem::Outcome, session::Session};

/// Turns that are shown when nobody says how many.
const SHOWN_TURNS: u64 = 20;

/// Show the turns of a module: inputs, outcomes, changes
#[derive(Debug, Args)]
#[command(
    long_about = "Show the turns that have touched a module, as the node's log has them: what each began with, its steps and how they \
        ended, the rows that they changed, and the reactions that they started. Steps in other modules are shown, too.\n\n\
        Without --from, the last turns are shown, the newest last; with it, the turns from there on. --reverse goes from newer \
        turns to older ones. What to type for the next page is said at the end. Rows and arguments are shown by the schema \
        of their turn. A module that was removed has a history as long as the log is kept (`history` in node.toml).",
    after_help = "Examples:\n  \
        interstice-cli history bank\n  \
        interstice-cli history bank --from 100 --limit 50\n  \
        interstice-cli history bank --from 100 --reverse --json"
)]
pub(crate) struct History {
    /// The module
    module: String,
    /// The turn to begin with
    #[arg(long, value_name = "SEQ")]
    from: Option<u64>,
    /// Most turns to show
    #[arg(long, value_name = "N", default_value_t = SHOWN_TURNS, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// From newer turns to older ones
    #[arg(long)]
    reverse: bool,
}

impl History {
    pub(crate) async fn run(self, app: &App) -> Outcome<()> {
        let session = Session::open_as_owner(app, None).await?;
        // The last turns are found from the end, and shown in their order.
        let is_tail = self.from.is_none() && !self.reverse;
        let order = if self.reverse || is_tail {
            HistoryOrder::Reverse
        } else {
            HistoryOrder::Forward
        };
        let mut next = self.from.map(|seq| HistoryCursor {
            seq: Seq(seq),
            ..HistoryCursor::default()
        });
        let mut kept = Vec::new();
        let mut open: Option<Turn> = None;
        let mut shown = 0;
        loop {
            let limit = (self.limit - shown).min(u64::from(TURNS_PER_PAGE_MAX));
            let limit = u32::try_from(limit).unwrap_or(TURNS_PER_PAGE_MAX);
            let page = session.history(&self.module, next, order, limit).await?;
            let mut ended = Vec::new();
            for step in page.steps {
                match &mut open {
                    Some(turn) if turn.seq() == step.seq => turn.add(step, &page.schemas),
                    _ => ended.extend(open.replace(Turn::begin(step, &page.schemas))),
                }
            }
            next = page.next;
            // A page that ends inside a turn leaves it open.
            if next.is_none_or(|next| next.step.0 == 0 && next.effect == 0) {
                ended.extend(open.take());
            }
            for turn in ended {
                shown += 1;
                if is_tail {
                    kept.push(turn);
                } else {
                    turn.print(app)?;
                }
            }
            if next.is_none() || shown >= self.limit {
                break;
            }
        }
        for turn in kept.iter().rev() {
            turn.print(app)?;
        }
        self.say_next(app, order, next, shown);
        Ok(())
    }

    fn say_next(&self, app: &App, order: HistoryOrder, next: Option<HistoryCursor>, shown: u64) {
        if shown == 0 && !app.output.is_json() {
            app.output.say("there are no such turns");
        }
        let Some(next) = next else { return };
        let (what, flag) = match order {
            HistoryOrder::Forward => ("later", ""),
            HistoryOrder::Reverse => ("earlier", " --reverse"),
        };
        let node = app
            .nodes()
            .first()
            .map_or_else(String::new, |node| format!(" --node {node}"));
        app.output.say(format!(
            "{what} turns: interstice-cli history {} --from {}{flag} --limit {}{node}",
            self.module, next.seq, self.limit
        ));
    }
}
