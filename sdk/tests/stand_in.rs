//! The stand-in behaves like a node where a module's tests look: tables, steps, lazy iteration,
//! timers, calls.

use interstice_sdk::{testing, *};

#[table]
#[derive(Debug, PartialEq)]
struct Account {
    #[primary_key(auto_inc)]
    id: u64,
    #[index(hash, unique)]
    email: String,
    #[index(btree)]
    balance: i64,
}

#[table]
#[derive(Debug)]
struct Visit {
    #[primary_key]
    name: String,
    #[index(btree, auto_inc)]
    number: u32,
}

#[table(ephemeral)]
#[derive(Debug)]
struct Session {
    #[primary_key]
    key: (i32, Option<String>),
    bytes: Vec<u8>,
}

fn account(email: &str, balance: i64) -> Account {
    Account {
        id: 0,
        email: email.to_string(),
        balance,
    }
}

/// The table of [`Account`], with every capability.
macro_rules! accounts {
    () => {
        testing::reducer_context().current.tables.account()
    };
}

fn fill(count: i64) {
    testing::fill((0..count).map(|i| account(&format!("{i}@x"), i * 10)));
}

fn ids(rows: impl IntoIterator<Item = Account>) -> Vec<u64> {
    rows.into_iter().map(|row| row.id).collect()
}

#[test]
fn auto_inc_starts_with_one_and_moves_past_what_is_given() {
    let accounts = accounts!();
    assert_eq!(accounts.insert(account("a", 0)).map(|row| row.id), Ok(1));
    let given = Account {
        id: 7,
        ..account("b", 0)
    };
    assert_eq!(accounts.insert(given).map(|row| row.id), Ok(7));
    assert_eq!(accounts.insert(account("c", 0)).map(|row| row.id), Ok(8));
    accounts.delete(8).expect("it is there");
    assert_eq!(accounts.insert(account("d", 0)).map(|row| row.id), Ok(9));
}

#[test]
fn a_refused_call_names_what_it_is_about_and_changes_nothing() {
    let accounts = accounts!();
    accounts
        .insert(account("a", 1))
        .expect("the table is empty");
    let error = accounts.insert(account("a", 2)).expect_err("it is taken");
    assert_eq!(error.code(), "constraint");
    assert_eq!(error.table(), Some("account"));
    assert_eq!(error.key(), Some("\"a\""));
    assert_eq!(error.constraint(), Some("unique index on email"));
    assert!(error.to_string().contains("email"), "{error}");
    assert_eq!(String::from(error.clone()), error.message());

    let same_key = Account {
        id: 1,
        ..account("b", 3)
    };
    let error = accounts.insert(same_key.clone()).expect_err("it is taken");
    assert_eq!(error.constraint(), Some("primary key"));
    let missing = Account { id: 9, ..same_key };
    let code = |error: Error| error.code();
    assert_eq!(accounts.update(missing).map_err(code), Err("not-found"));
    assert_eq!(accounts.delete(9).map_err(code), Err("not-found"));
    // No number was spent on what was refused.
    assert_eq!(accounts.insert(account("c", 4)).map(|row| row.id), Ok(2));
    assert_eq!(accounts.count(), 2);
}

#[test]
fn every_read_sees_the_rows_in_order() {
    fill(20);
    let accounts = accounts!();
    assert_eq!(accounts.count(), 20);
    assert_eq!(ids(accounts.scan()), (1..=20).collect::<Vec<_>>());
    assert_eq!(ids(accounts), (1..=20).collect::<Vec<_>>());
    assert_eq!(ids(accounts.range(3..6)), [3, 4, 5]);
    assert_eq!(ids(accounts.range(..=2)), [1, 2]);
    assert_eq!(ids(accounts.first()), [1]);
    assert_eq!(ids(accounts.last()), [20]);
    assert_eq!(ids(accounts.get(4)), [4]);
    assert_eq!(accounts.get(40), None);
    assert_eq!(ids(accounts.get_by_email("5@x".to_string())), [6]);
    assert_eq!(ids(accounts.scan_by_email_eq("5@x".to_string())), [6]);
    assert_eq!(
        ids(accounts.filter(|row| row.balance % 60 == 0)),
        [1, 7, 13, 19]
    );
}

#[test]
fn ordered_indexes_find_ranges() {
    fill(20);
    let accounts = accounts!();
    assert_eq!(ids(accounts.scan_by_balance_eq(30)), [4]);
    assert_eq!(ids(accounts.scan_by_balance_lt(20)), [1, 2]);
    assert_eq!(ids(accounts.scan_by_balance_lte(20)), [1, 2, 3]);
    assert_eq!(ids(accounts.scan_by_balance_gt(170)), [19, 20]);
    assert_eq!(ids(accounts.scan_by_balance_gte(170)), [18, 19, 20]);
    let range = |min, max, include_min, include_max| {
        ids(accounts.scan_by_balance_range(min, max, include_min, include_max))
    };
    assert_eq!(range(10, 40, true, false), [2, 3, 4]);
    assert_eq!(range(10, 40, false, true), [3, 4, 5]);
    assert_eq!(range(40, 10, true, true), []);
}

#[test]
fn upsert_numbers_what_it_inserts_and_what_it_replaces() {
    let visits = testing::reducer_context().current.tables.visit();
    let number_of = |number| {
        let name = "a".to_string();
        let stored = visits.upsert(Visit { name, number });
        stored.map(|stored| stored.number)
    };
    assert_eq!(number_of(0), Ok(1));
    assert_eq!(number_of(0), Ok(2));
    assert_eq!(number_of(7), Ok(7));
    assert_eq!(number_of(0), Ok(8));
}

#[test]
fn upsert_inserts_and_replaces() {
    let accounts = accounts!();
    let row = accounts.upsert(account("a", 1)).expect("there is room");
    assert_eq!(row.id, 1);
    let changed = Account { balance: 2, ..row };
    assert_eq!(accounts.upsert(changed.clone()), Ok(changed));
    assert_eq!(accounts.count(), 1);
    assert_eq!(ids(accounts.scan_by_balance_eq(1)), []);
    accounts.clear().expect("it may");
    assert_eq!(accounts.count(), 0);
}

#[test]
fn a_loop_sees_what_it_changes_ahead_of_itself_and_ends_when_it_inserts() {
    fill(20);
    let accounts = accounts!();
    let mut seen = Vec::new();
    for row in accounts {
        seen.push((row.id, row.balance));
        if row.id == 2 {
            accounts.delete(3).expect("it is there");
            let changed = Account {
                id: 4,
                ..account("changed", 4444)
            };
            accounts.update(changed).expect("it is there");
        }
        let more = account(&format!("new {}", row.id), 0);
        accounts.insert(more).expect("there is room");
    }
    assert_eq!(seen.len(), 19);
    assert_eq!(seen.get(1..4), Some(&[(2, 10), (4, 4444), (5, 40)][..]));
    assert_eq!(seen.last(), Some(&(20, 190)));
    assert_eq!(accounts.count(), 38);
}

#[test]
fn a_loop_that_only_changes_and_deletes_sees_that_too() {
    fill(20);
    let accounts = accounts!();
    let mut seen = Vec::new();
    for mut row in accounts {
        seen.push((row.id, row.balance));
        if row.id % 5 == 1 {
            accounts.delete(row.id + 1).expect("it is there");
            let ahead = accounts.get(row.id + 2).expect("it is there");
            let changed = Account {
                balance: -1,
                ..ahead
            };
            accounts.update(changed).expect("it is there");
        }
        row.balance += 1;
        accounts.update(row).expect("it is there");
    }
    assert_eq!(seen.len(), 16);
    assert_eq!(seen.get(4..7), Some(&[(6, 50), (8, -1), (9, 80)][..]));
    assert_eq!(ids(accounts.scan_by_balance_eq(0)), [3, 8, 13, 18]);
}

#[test]
fn deleting_everything_while_walking_works() {
    fill(30);
    let accounts = accounts!();
    for row in accounts {
        accounts.delete(row.id).expect("it is there");
    }
    assert_eq!(accounts.count(), 0);
}

#[test]
fn rows_of_any_size_come_back_whole() {
    let sessions = testing::reducer_context().current.tables.session();
    for size in [0, 4085, 4094, 4095, 4096, 4097, 3 << 20] {
        let key = (-1, Some(size.to_string()));
        let row = Session {
            key: key.clone(),
            bytes: vec![7; size],
        };
        assert_eq!(sessions.insert(row).map(|row| row.bytes.len()), Ok(size));
        assert_eq!(sessions.get(key).map(|row| row.bytes.len()), Some(size));
    }
    assert_eq!(sessions.scan().len(), 7);
    testing::restart();
    assert_eq!(sessions.count(), 0);
}

#[reducer]
fn open_and_fail<Caps>(ctx: ReducerContext<Caps>, panics: bool) -> Result<(), String>
where
    Caps: CanInsert<Account>,
{
    ctx.current.tables.account().insert(account("z", 1))?;
    ctx.schedule("tick", 5)?;
    ctx.log("kept");
    assert!(!panics, "it broke");
    Err("no".to_string())
}

#[reducer]
fn tick(ctx: ReducerContext) {
    ctx.log(&format!("tick {}", ctx.seq()));
}

#[test]
fn a_failed_step_is_undone_but_its_log_stays() {
    fill(1);
    let before = testing::rows::<Account>();
    let returned = testing::step(|ctx| open_and_fail(ctx, false));
    assert_eq!(returned, Err("no".to_string()));
    let panicked = testing::step(|ctx| open_and_fail(ctx, true));
    assert_eq!(panicked, Err("it broke".to_string()));
    assert_eq!(testing::rows::<Account>(), before);
    assert_eq!(testing::timers(), []);
    assert_eq!(testing::logs(), ["kept", "kept"]);
    // Not even a number was spent.
    assert_eq!(accounts!().insert(account("b", 0)).map(|row| row.id), Ok(2));
}

#[test]
fn timers_become_due_in_their_order() {
    let ctx = testing::plain_reducer_context();
    testing::set_time_ms(1000);
    let late = ctx.schedule("late", 50).expect("it may");
    let soon = ctx.schedule("tick", 10).expect("it may");
    let cancelled = ctx.schedule("never", 5).expect("it may");
    ctx.cancel(cancelled).expect("it is pending");
    let again = ctx.cancel(cancelled).map_err(|error| error.code());
    assert_eq!(again, Err("not-found"));
    let due = testing::advance_ms(20);
    let due: Vec<_> = due.iter().map(|timer| (timer.id, timer.due_ms)).collect();
    assert_eq!(due, [(soon, 1010)]);
    assert_eq!(ctx.time_now_ms(), Ok(1020));
    let pending: Vec<_> = testing::timers().iter().map(|timer| timer.id).collect();
    assert_eq!(pending, [late]);
    testing::step(|_| tick(testing::plain_reducer_context())).expect("it cannot fail");
    assert_eq!(testing::logs(), ["tick 1"]);
}

#[test]
fn timers_repeat_and_keep_their_arguments() {
    use interstice_sdk::{__private::abi::codec::Column, timing::Timing};

    let ctx = testing::plain_reducer_context();
    testing::set_time_ms(1000);
    let every = ctx.schedule_every("tick", 10).expect("it may");
    let at = ctx.schedule_at("tick", 1015).expect("it may");
    let with = ctx.schedule_with("pay", 15, (7_u64, "Ada".to_string()));
    let refused = ctx.schedule_every_with("tick", 0, (1_u8,));
    assert_eq!(refused.map_err(|error| error.code()), Err("bad-arguments"));
    let due = testing::advance_ms(20);
    let seen: Vec<_> = due.iter().map(|timer| (timer.id, timer.due_ms)).collect();
    let with = with.expect("it may");
    assert_eq!(
        seen,
        [(every, 1010), (at, 1015), (with, 1015), (every, 1020)]
    );
    let arguments = <(u64, String)>::from_bytes(&due[2].arguments);
    assert_eq!(arguments, Ok((7, "Ada".to_string())));
    ctx.cancel(every).expect("it is pending");
    assert_eq!(testing::advance_ms(100), []);
}

#[test]
fn random_numbers_follow_the_seed() {
    let pair = || [deterministic_random_u64(), deterministic_random_u64()];
    testing::set_random_seed(7);
    let first = pair();
    assert_ne!(first[0], first[1]);
    testing::set_random_seed(7);
    assert_eq!(pair(), first);
}

#[test]
fn contexts_say_who_calls() {
    let own = testing::plain_query_context();
    assert_eq!(own.caller_node_id, own.current_node_id());
    assert!(own.caller_module_name.is_empty() && !own.caller_is_owner());
    testing::set_caller("12D3Koo", "caller");
    testing::set_caller_is_owner(true);
    let other = testing::reducer_context();
    assert_eq!(other.caller_node_id, "12D3Koo");
    assert_eq!(other.caller_module_name, "caller");
    assert!(other.clone().caller_is_owner());
    let ReducerContext {
        caller_node_id,
        current,
        ..
    } = other;
    drop(caller_node_id);
    assert_eq!(current.tables.account().count(), 0);
}

#[test]
fn other_modules_are_what_the_test_says() {
    use interstice_sdk::__private::{abi::codec::Column, call_query, call_reducer};
    testing::answer_reducer("bank", "open", |(id, text): (u64, String)| {
        testing::fill([account(&text, 5)]);
        if id == 0 { Err("no zero") } else { Ok(()) }
    });
    testing::answer_query("far.bank", "total", |()| Ok::<i64, Error>(42));
    let open = |id: u64| call_reducer(None, "bank", "open", (id, "x".to_string()).to_bytes());
    let refused = open(0).expect_err("it says so");
    assert_eq!((refused.code(), refused.message()), ("rejected", "no zero"));
    assert_eq!(accounts!().count(), 0);
    assert_eq!(open(1), Ok(()));
    assert_eq!(accounts!().count(), 1);
    let total = |node| call_query::<i64>(node, "bank", "total", Vec::new());
    assert_eq!(total(Some("far")), Ok(42));
    let unknown = total(None).expect_err("nobody answers");
    assert!(unknown.message().contains("bank.total"), "{unknown:?}");
}

#[test]
#[should_panic(expected = "account")]
fn filling_with_rows_that_hurt_is_a_mistake_of_the_test() {
    testing::fill([account("a", 0), account("a", 0)]);
}
