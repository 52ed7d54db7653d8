//! The anchor, driven by readings that were made up.

use super::*;

const BOUND_MS: u64 = 500;
const SETTLE_MS: u64 = 60_000;
const HOUR_MS: i64 = 3_600_000;
const YEAR_MS: i64 = 365 * DAY_MS;

/// A node whose clocks, peers and registry do as they are told.
struct World {
    anchor: Anchor,
    look: Look,
}

impl World {
    /// A node that has just been started, so far ahead of registry time. A quorum agrees.
    fn ahead(ahead_ms: i64) -> Self {
        let wall = Millis(1_800_000_000_000);
        let look = Look {
            moment: Moment { wall, boot_ms: 1_000_000 },
            at: Instant::now(),
            quorum: true,
            vouched: false,
            registry_time: wall.saturating_add(ahead_ms.saturating_neg()),
        };
        Self { anchor: Anchor::new(BOUND_MS, SETTLE_MS), look }
    }

    /// One that runs and is anchored.
    fn anchored() -> Self {
        let mut world = Self::ahead(0);
        assert_eq!(world.pass(0).anchored, Some(How::NearRegistryTime));
        world
    }

    /// All clocks go on by so much, and the node looks.
    fn pass(&mut self, ms: u64) -> Changes {
        self.look.moment.wall = Millis(self.look.moment.wall.0.saturating_add_unsigned(ms));
        self.look.moment.boot_ms += ms;
        self.look.at += Duration::from_millis(ms);
        self.anchor.look(&self.look)
    }

    /// The same in steps, as a node looks: what they changed together.
    fn live(&mut self, ms: u64) -> Changes {
        let mut all = Changes::default();
        for _ in 0..ms / 100 {
            let Changes { leapt_ms, anchored } = self.pass(100);
            all = Changes { leapt_ms: all.leapt_ms.or(leapt_ms), anchored: all.anchored.or(anchored) };
        }
        all
    }

    /// The wall clock leaps, alone.
    fn leap(&mut self, ms: i64) {
        self.look.moment.wall = self.look.moment.wall.saturating_add(ms);
    }

    /// The host sleeps: boot time and the wall clock go on, elapsed time stands still.
    fn sleep(&mut self, ms: u64) {
        self.look.moment.wall = Millis(self.look.moment.wall.0.saturating_add_unsigned(ms));
        self.look.moment.boot_ms += ms;
    }

    fn judged(&self) -> Result<Millis, Unsure> {
        let offset = self.look.moment.offset_ms();
        let holds = self.anchor.offset_ms().is_some_and(|trusted| offset.abs_diff(trusted) <= BOUND_MS);
        judge(&self.look, holds, BOUND_MS, || self.anchor.left_ms(self.look.at))
    }

    fn standing(&self) -> Option<ClockStanding> {
        self.judged().err().map(Unsure::standing)
    }
}

#[tokio::test]
async fn a_node_whose_clock_is_about_at_registry_time_is_sure_as_soon_as_a_quorum_agrees() {
    let mut world = World::ahead(SMALL_LEAP_MS);
    world.look.quorum = false;
    assert_eq!(world.pass(100), Changes::default());
    assert_eq!(world.judged(), Err(Unsure::NoQuorum { bound_ms: BOUND_MS }));
    // What passed meanwhile counts too.
    world.look.registry_time = world.look.registry_time.saturating_add(100);
    world.look.quorum = true;
    assert_eq!(world.pass(0).anchored, Some(How::NearRegistryTime));
    assert_eq!(world.judged(), Ok(world.look.moment.wall));
}

#[tokio::test]
async fn an_idle_month_and_a_sleeping_host_are_no_leap() {
    let mut world = World::anchored();
    for _ in 0..40 {
        assert_eq!(world.pass(u64::try_from(DAY_MS).unwrap()), Changes::default());
    }
    assert_eq!(world.look.ahead_ms(), 40 * DAY_MS);
    assert_eq!(world.standing(), None);
    world.sleep(u64::try_from(40 * DAY_MS).unwrap());
    assert_eq!(world.pass(100), Changes::default());
    assert_eq!(world.standing(), None);
}

#[tokio::test]
async fn a_leap_against_boot_time_is_seen_at_once_and_settles_in_a_minute() {
    for leap in [HOUR_MS, 31 * DAY_MS - 120_000] {
        let mut world = World::anchored();
        world.leap(leap);
        // Even before the node has looked.
        assert_eq!(world.standing(), Some(ClockStanding::Settling));
        assert_eq!(world.live(100).leapt_ms, Some(leap));
        assert_eq!(world.live(59_900), Changes::default());
        assert_eq!(world.judged(), Err(Unsure::Settling { ahead_ms: leap + 60_000, left_ms: 100 }));
        assert_eq!(world.live(100).anchored, Some(How::Settled));
        assert_eq!(world.standing(), None);
    }
}

#[tokio::test]
async fn a_leap_that_is_taken_back_before_it_settled_leaves_nothing() {
    let mut world = World::anchored();
    for leap in [HOUR_MS, 11 * YEAR_MS] {
        world.leap(leap);
        assert_eq!(world.live(30_000).anchored, None);
        world.leap(-leap);
        assert_eq!(world.pass(100).anchored, Some(How::NearRegistryTime));
        assert_eq!(world.standing(), None);
    }
}

#[tokio::test]
async fn eleven_years_ahead_never_settle_and_one_word_is_enough() {
    let mut world = World::ahead(11 * YEAR_MS);
    assert_eq!(world.live(600_000), Changes::default());
    assert_eq!(world.standing(), Some(ClockStanding::TooFarAhead));
    let confirmed = world.anchor.confirm(&world.look).unwrap().unwrap();
    assert_eq!(confirmed.ahead_ms, 11 * YEAR_MS + 600_000);
    assert_eq!(world.standing(), None);
    assert_eq!(world.anchor.confirm(&world.look), Ok(None), "said already");
    assert_eq!(world.live(10_000), Changes::default());
    assert_eq!(world.anchor.confirmed(), Some(confirmed));
    // It was for this and for no later leap.
    world.leap(YEAR_MS);
    assert_eq!(world.live(100).leapt_ms, Some(YEAR_MS));
    assert_eq!(world.anchor.confirmed(), None);
    assert_eq!(world.live(600_000), Changes::default());
    assert_eq!(world.standing(), Some(ClockStanding::TooFarAhead));
}

#[tokio::test]
async fn no_word_helps_without_a_quorum_or_behind_registry_time() {
    let mut world = World::ahead(11 * YEAR_MS);
    world.look.quorum = false;
    assert_eq!(world.anchor.confirm(&world.look), Err(Unsure::NoQuorum { bound_ms: BOUND_MS }));
    let mut world = World::ahead(-HOUR_MS);
    assert_eq!(world.anchor.confirm(&world.look), Err(Unsure::Behind { behind_ms: 3_600_000 }));
    assert_eq!(world.anchor.offset_ms(), None);
}

#[tokio::test]
async fn an_anchored_voter_that_agrees_vouches_for_a_node_that_was_restarted() {
    for ahead in [DAY_MS, 40 * DAY_MS] {
        let mut world = World::ahead(ahead);
        assert_eq!(world.live(1_000).anchored, None);
        world.look.vouched = true;
        assert_eq!(world.pass(100).anchored, Some(How::Vouched));
        assert_eq!(world.standing(), None);
    }
    // Not without a quorum.
    let mut world = World::ahead(DAY_MS);
    (world.look.quorum, world.look.vouched) = (false, true);
    assert_eq!(world.live(1_000).anchored, None);
}

#[tokio::test]
async fn an_agreement_settles_only_without_a_break() {
    // The quorum is lost for a moment.
    let mut world = World::ahead(DAY_MS);
    world.live(59_000);
    world.look.quorum = false;
    world.pass(100);
    world.look.quorum = true;
    assert_eq!(world.live(60_000).anchored, None);
    assert_eq!(world.live(100).anchored, Some(How::Settled));
    // The wall clock leaps again.
    let mut world = World::ahead(DAY_MS);
    world.live(59_000);
    world.leap(HOUR_MS);
    assert_eq!(world.live(60_000).anchored, None);
    assert_eq!(world.live(100).anchored, Some(How::Settled));
    // The host sleeps: nobody has looked meanwhile.
    let mut world = World::ahead(DAY_MS);
    world.live(1_000);
    world.sleep(100_000);
    assert_eq!(world.live(60_000).anchored, None);
    assert_eq!(world.live(100).anchored, Some(How::Settled));
    // The node itself did not look.
    let mut world = World::ahead(DAY_MS);
    world.live(1_000);
    assert_eq!(world.pass(100_000).anchored, None);
}

#[tokio::test]
async fn a_clock_behind_registry_time_is_unsure_until_it_has_reached_it() {
    let mut world = World::anchored();
    world.look.registry_time = world.look.moment.wall.saturating_add(500);
    assert_eq!(world.standing(), None, "within the bound");
    world.look.registry_time = world.look.moment.wall.saturating_add(501);
    assert_eq!(world.judged(), Err(Unsure::Behind { behind_ms: 501 }));
    world.pass(1);
    assert_eq!(world.standing(), None);
    // At the start likewise.
    let mut world = World::ahead(-10_000);
    assert_eq!(world.live(9_000).anchored, None);
    assert_eq!(world.live(1_000).anchored, Some(How::NearRegistryTime));
}

#[tokio::test]
async fn slewing_over_weeks_is_no_leap_and_a_clock_that_runs_away_is() {
    // Half a thousandth, as fast as NTP slews, is 18 s in ten hours.
    let mut world = World::anchored();
    for second in 0..36_000 {
        world.leap(i64::from(second % 2 == 0));
        assert_eq!(world.pass(1_000), Changes::default(), "after {second} s");
    }
    assert_eq!(world.standing(), None);
    // One per cent leaves the bound within a minute.
    let mut world = World::anchored();
    let mut leapt = false;
    for _ in 0..600 {
        world.leap(1);
        leapt |= world.pass(100).leapt_ms.is_some();
    }
    assert!(leapt);
}

#[tokio::test]
async fn a_small_step_is_followed_and_a_second_one_much_later_is_no_leap() {
    let mut world = World::anchored();
    world.leap(400);
    assert_eq!(world.live(500_000), Changes::default());
    world.leap(400);
    assert_eq!(world.live(1_000), Changes::default());
    // Two at once are one of twice the size.
    world.leap(400);
    assert!(world.pass(100).leapt_ms.is_some());
}

#[tokio::test]
async fn each_reason_says_what_is_wrong_and_what_to_do() {
    let reasons = [
        (Unsure::NoQuorum { bound_ms: 500 }, "within 500 ms of a quorum's", "ask another node"),
        (
            Unsure::Behind { behind_ms: 7_200_000 },
            "2 hours behind registry time",
            "set the nodes' clocks right",
        ),
        (Unsure::Settling { ahead_ms: DAY_MS * 8, left_ms: 59_001 }, "8 days ahead", "wait until"),
        (Unsure::Settling { ahead_ms: DAY_MS * 8, left_ms: 59_001 }, "60 s more", "set them right"),
        (Unsure::TooFarAhead { ahead_ms: 11 * YEAR_MS }, "4015 days ahead", "`assent clock confirm`"),
    ];
    for (unsure, detail, remedy) in reasons {
        assert!(unsure.detail().contains(detail), "{}", unsure.detail());
        assert!(unsure.remedy().contains(remedy), "{}", unsure.remedy());
        assert!(unsure.told().contains(detail), "{}", unsure.told());
    }
    assert_eq!(span(999), "999 ms");
    assert_eq!(span(1_999), "1999 ms");
    assert_eq!(span(119_999), "119 s");
    assert_eq!(span(86_400_000), "24 hours");
}

#[tokio::test]
async fn extreme_times_saturate_instead_of_wrapping() {
    for (wall, registry_time) in [(i64::MIN, i64::MAX), (i64::MAX, i64::MIN), (i64::MAX, 0), (i64::MIN, 0)] {
        let mut world = World::anchored();
        world.look.moment.wall = Millis(wall);
        world.look.registry_time = Millis(registry_time);
        assert!(world.pass(100).leapt_ms.is_some());
        assert!(world.judged().is_err());
    }
}
