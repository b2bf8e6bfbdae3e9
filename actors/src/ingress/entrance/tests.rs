//! The entrance with a clock that the tests choose.

use super::*;

const DEADLINE: Duration = Duration::from_secs(10);

/// What all connections may hold.
const HELD_BYTES_MAX: usize = 1000;

struct Street {
    entrance: Arc<Entrance>,
    begin: Instant,
}

impl Street {
    fn new(waiting_max: usize, guests_max: usize) -> Self {
        let bounds = EntranceBounds {
            waiting_max,
            guests_max,
            deadline: DEADLINE,
            held_bytes_max: HELD_BYTES_MAX,
        };
        Self {
            entrance: Entrance::new(bounds),
            begin: Instant::now(),
        }
    }

    fn at(&self, seconds: u64) -> Instant {
        self.begin + Duration::from_secs(seconds)
    }

    fn enter(&self, host: u8, port: u16) -> Place {
        let here = "/ip4/10.0.0.1/tcp/4400".parse().unwrap();
        let there = format!("/ip4/10.0.1.{host}/tcp/{port}").parse().unwrap();
        self.entrance.enter((here, there), self.at(0))
    }

    fn greet(
        &self,
        place: &Place,
        standing: Standing,
        seconds: u64,
    ) -> (Replies, Result<(), Code>) {
        let replies = Replies::new(1000, 100);
        let greeted = self
            .entrance
            .greet(&place.entrant, standing, &replies, self.at(seconds));
        (replies, greeted.map_err(|failure| failure.code))
    }
}

fn is_cut(place: &Place) -> bool {
    place.is_cut(Waker::noop())
}

#[test]
fn a_newcomer_pushes_out_the_oldest_of_a_full_stage() {
    let street = Street::new(2, 9);
    let places = [1, 2, 3].map(|port| street.enter(1, port));
    assert_eq!(places.each_ref().map(is_cut), [true, false, false]);
}

#[test]
fn who_talks_on_is_not_pushed_out() {
    let street = Street::new(2, 9);
    let (client, half) = (street.enter(1, 1), street.enter(1, 2));
    [&client, &half].into_iter().for_each(Place::talks);
    client.talks();
    let third = street.enter(1, 3);
    third.talks();
    assert_eq!([&client, &half, &third].map(is_cut), [false, true, false]);
}

#[test]
fn a_flood_from_one_address_pushes_out_its_own() {
    let street = Street::new(3, 9);
    let other = street.enter(2, 1);
    let flood: Vec<Place> = (1..50).map(|port| street.enter(1, port)).collect();
    assert!(!is_cut(&other));
    assert_eq!(flood.iter().filter(|place| !is_cut(place)).count(), 2);
}

#[test]
fn who_goes_on_to_the_next_stage_is_out_of_reach_of_the_silent() {
    let street = Street::new(2, 9);
    let client = street.enter(1, 1);
    client.talks();
    let flood: Vec<Place> = (2..50).map(|port| street.enter(1, port)).collect();
    assert!(!is_cut(&client));
    street.entrance.reach(&client.entrant, Stage::Known);
    flood.iter().for_each(Place::talks);
    assert!(!is_cut(&client));
}

#[test]
fn who_does_not_greet_in_time_is_cut_whatever_else_it_says() {
    let street = Street::new(9, 9);
    let (silent, known, greeted) = (street.enter(1, 1), street.enter(1, 2), street.enter(1, 3));
    street.entrance.reach(&known.entrant, Stage::Known);
    street.greet(&greeted, Standing::Guest, 0).1.unwrap();
    street.entrance.sweep(street.at(9));
    assert!(![&silent, &known].map(is_cut).contains(&true));
    street.entrance.sweep(street.at(10));
    assert_eq!([&silent, &known, &greeted].map(is_cut), [true, true, false]);
}

#[test]
fn a_place_that_is_dropped_is_free() {
    let street = Street::new(1, 1);
    drop(street.enter(1, 1));
    let next = street.enter(1, 2);
    assert!(!is_cut(&next));
    street.greet(&next, Standing::Guest, 0).1.unwrap();
    drop(next);
    let last = street.enter(1, 3);
    assert_eq!(street.greet(&last, Standing::Guest, 0).1, Ok(()));
    assert!(street.entrance.find(&last.ends).is_some());
}

#[test]
fn an_idle_guest_makes_room_and_a_busy_one_does_not() {
    let street = Street::new(9, 2);
    let places = [1, 2, 3, 4].map(|port| street.enter(1, port));
    let [idle, busy, third, fourth] = &places;
    street.greet(idle, Standing::Guest, 0).1.unwrap();
    street.greet(busy, Standing::Guest, 0).0.begun(1);
    assert_eq!(street.greet(third, Standing::Guest, 9).1, Err(Code::Busy));
    assert_eq!(street.greet(third, Standing::Guest, 10).1, Ok(()));
    assert_eq!(places.each_ref().map(is_cut), [true, false, false, false]);
    assert_eq!(street.greet(fourth, Standing::Guest, 11).1, Err(Code::Busy));
}

#[test]
fn a_crowd_of_guests_from_one_address_makes_room_for_others_at_once() {
    let street = Street::new(99, 10);
    let crowd: Vec<Place> = (1..11).map(|port| street.enter(1, port)).collect();
    for place in &crowd {
        street.greet(place, Standing::Guest, 0).1.unwrap();
    }
    let other = street.enter(2, 1);
    assert_eq!(street.greet(&other, Standing::Guest, 0).1, Ok(()));
    assert_eq!(crowd.iter().filter(|place| is_cut(place)).count(), 1);
}

#[test]
fn owners_are_always_admitted_and_take_nobodys_place() {
    let street = Street::new(9, 1);
    let (guest, owner) = (street.enter(1, 1), street.enter(1, 2));
    street.greet(&guest, Standing::Guest, 0).1.unwrap();
    assert_eq!(street.greet(&owner, Standing::Owner, 0).1, Ok(()));
    assert!(!is_cut(&guest));
}

#[test]
fn beyond_the_bound_the_connection_with_the_most_unread_bytes_is_cut_and_owners_are_spared() {
    let street = Street::new(10, 10);
    let places: Vec<Place> = (1..=3).map(|host| street.enter(host, 1)).collect();
    let (owner, most, little) = (&places[0], &places[1], &places[2]);
    street.greet(owner, Standing::Owner, 1).1.unwrap();
    let tallies: Vec<_> = places
        .iter()
        .map(|place| street.entrance.tally(&place.ends).unwrap())
        .collect();
    for (tally, bytes) in tallies.iter().zip([500, 400, 100]) {
        tally.more(bytes);
    }
    assert!(places.iter().all(|place| !place.entrant.is_cut()));
    tallies[2].more(1);
    // Until the one that is cut has gone, what it holds is on its way out.
    tallies[2].more(200);
    assert!(most.entrant.is_cut());
    assert!(!owner.entrant.is_cut() && !little.entrant.is_cut());
    tallies[1].less(400);
    tallies[2].more(300);
    assert!(little.entrant.is_cut());
    assert!(!owner.entrant.is_cut());
}
