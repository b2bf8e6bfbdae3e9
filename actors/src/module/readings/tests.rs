//! What a list of readings keeps, and what it lets go.

use super::*;

fn slot(connection: u64, standing: Standing, used: Instant, bytes: u64) -> Slot {
    Slot {
        about: About {
            connection,
            standing,
            module: ModuleName::new("bank").expect("a name"),
            table: "account".into(),
        },
        state: State::Busy,
        used,
        deadline: used + 2 * REST,
        page: 1,
        bytes,
    }
}

#[test]
fn a_connection_that_begins_too_many_readings_loses_the_one_that_rested_the_longest() {
    let now = Instant::now();
    let mut open = Open::default();
    for number in 0..20 {
        open.make_room(1);
        let used = now + Duration::from_secs(if number == 0 { 30 } else { number });
        let slot = slot(1, Standing::Guest, used, 1);
        open.readings.insert((1, number), slot);
    }
    let other = slot(2, Standing::Guest, now, 1);
    open.readings.insert((2, 99), other);
    open.make_room(1);
    let left: Vec<Key> = open.readings.keys().copied().collect();
    assert_eq!(
        left.len(),
        PER_CONNECTION,
        "with one of the other connection"
    );
    assert!(left.contains(&(1, 0)) && left.contains(&(1, 19)) && left.contains(&(2, 99)));
}

#[test]
fn a_reading_ends_when_it_rests_or_goes_on_for_too_long() {
    let now = Instant::now();
    let mut open = Open::default();
    open.readings
        .insert((1, 1), slot(1, Standing::Owner, now, 1));
    open.expire(now + REST / 2);
    assert_eq!(open.readings.len(), 1);
    for used in open.readings.values_mut() {
        used.used = now + REST;
    }
    open.expire(now + REST + REST / 2);
    assert_eq!(open.readings.len(), 1, "a page was read meanwhile");
    for used in open.readings.values_mut() {
        used.used = now + 2 * REST;
    }
    open.expire(now + 2 * REST);
    assert!(open.readings.is_empty(), "it was too slow as a whole");
}

#[test]
fn owners_and_guests_are_counted_apart() {
    let now = Instant::now();
    let mut open = Open::default();
    open.readings
        .insert((1, 1), slot(1, Standing::Owner, now, 5));
    open.readings
        .insert((2, 2), slot(2, Standing::Guest, now, 7));
    open.readings
        .insert((3, 3), slot(3, Standing::Guest, now, 9));
    assert_eq!(open.bytes(Standing::Owner), 5);
    assert_eq!(open.bytes(Standing::Guest), 16);
}
