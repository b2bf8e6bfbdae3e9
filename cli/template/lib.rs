//! Keeps notes: a table, a reducer that fills it, a query that shows it.

use interstice_sdk::*;

// `visibility: Public`: everyone who reaches the node may call this module.
interstice_module!(visibility: Public);

/// A note. `public`: other modules and clients may read the table.
#[table(public)]
#[derive(Debug)]
pub struct Note {
    /// Chosen on insert when it is 0.
    #[primary_key(auto_inc)]
    pub id: u64,
    /// What it says.
    pub text: String,
}

/// Keeps a note. The bound in the `where` clause is all that this reducer may do.
#[reducer]
pub fn add<Caps>(ctx: ReducerContext<Caps>, text: String) -> Result<(), Error>
where
    Caps: CanInsert<Note>,
{
    let note = ctx.current.tables.note().insert(Note { id: 0, text })?;
    ctx.log(&format!("kept note {}", note.id));
    Ok(())
}

/// All notes, in the order of their ids.
#[query]
pub fn list<Caps>(ctx: QueryContext<Caps>) -> Vec<Note>
where
    Caps: CanRead<Note>,
{
    ctx.current.tables.note().scan()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_kept() {
        assert_eq!(testing::step(|ctx| add(ctx, "milk".to_string())), Ok(()));
        let notes = list(testing::query_context());
        assert_eq!((notes.len(), notes[0].text.as_str()), (1, "milk"));
    }
}
