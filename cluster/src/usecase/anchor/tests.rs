//! The anchor, driven by readings that were made up.

use assent_api::ClockStanding;
use assent_proof::Code;

use super::unsure::span;
use super::*;

const BOUND_MS: u64 = 500;
const SETTLE_MS: u64 = 60_000;
const HOUR_MS: i64 = 3_600_000;
const YEAR_MS: i64 = 365 * DAY_MS;

/// A node whose clocks, peers and registry do as they are told.
struct World {
    anchor: Anchor,
    observation: ClockObservation,
}

impl World {
    /// A node that has just been started, so far ahead of registry time. A quorum agrees.
    fn ahead(ahead_ms: i64) -> Self {
        let wall = Millis(1_800_000_000_000);
        let observation = ClockObservation {
            moment: Moment { wall, boot_ms: 1_000_000 },
            at: Instant::now(),
            quorum: true,
            vouched: None,
            registry_time: wall.saturating_add(ahead_ms.saturating_neg()),
        };
        Self { anchor: Anchor::new(BOUND_MS, SETTLE_MS), observation }
    }

    /// One that runs and is anchored.
    fn anchored() -> Self {
        let mut world = Self::ahead(0);
        assert_eq!(world.pass(0).anchored, Some(TrustReason::NearRegistryTime));
        world
    }

    /// All clocks go on by so much, and the node looks.
    fn pass(&mut self, ms: u64) -> Changes {
        self.observation.moment.wall = Millis(self.observation.moment.wall.0.saturating_add_unsigned(ms));
        self.observation.moment.boot_ms += ms;
        self.observation.at += Duration::from_millis(ms);
        self.anchor.observe(&self.observation)
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
        self.observation.moment.wall = self.observation.moment.wall.saturating_add(ms);
    }

    /// The host sleeps: boot time and the wall clock go on, elapsed time stands still.
    fn sleep(&mut self, ms: u64) {
        self.observation.moment.wall = Millis(self.observation.moment.wall.0.saturating_add_unsigned(ms));
        self.observation.moment.boot_ms += ms;
    }

    fn judged(&self) -> Result<Millis, Unsure> {
        let offset = self.observation.moment.offset_ms();
        let holds = self.anchor.offset_ms().is_some_and(|trusted| offset.abs_diff(trusted) <= BOUND_MS);
        judge(&self.observation, holds, BOUND_MS, || self.anchor.doubt(&self.observation))
    }

    /// A statement is stamped now.
    fn stamp(&mut self) {
        self.observation.registry_time = self.judged().unwrap();
    }

    /// How far the time that this node trusts is ahead of its wall clock, if it is anchored.
    fn vouches(&self) -> Option<i64> {
        let offset = self.observation.moment.offset_ms();
        let away = self.anchor.offset_ms()?.saturating_sub(offset);
        (away.unsigned_abs() <= BOUND_MS).then_some(away)
    }

    fn standing(&self) -> Option<ClockStanding> {
        self.judged().err().map(Unsure::standing)
    }
}

/// Rule R136.
#[tokio::test]
async fn a_node_whose_clock_is_about_at_registry_time_is_sure_as_soon_as_a_quorum_agrees() {
    let mut world = World::ahead(SMALL_LEAP_MS);
    world.observation.quorum = false;
    assert_eq!(world.pass(100), Changes::default());
    assert_eq!(world.judged(), Err(Unsure::NoQuorum { bound_ms: BOUND_MS }));
    // What passed meanwhile counts too.
    world.observation.registry_time = world.observation.registry_time.saturating_add(100);
    world.observation.quorum = true;
    assert_eq!(world.pass(0).anchored, Some(TrustReason::NearRegistryTime));
    assert_eq!(world.judged(), Ok(world.observation.moment.wall));
}

#[tokio::test]
async fn an_idle_month_and_a_sleeping_host_are_no_leap() {
    let mut world = World::anchored();
    for _ in 0..40 {
        assert_eq!(world.pass(u64::try_from(DAY_MS).unwrap()), Changes::default());
    }
    assert_eq!(world.observation.ahead_ms(), 40 * DAY_MS);
    assert_eq!(world.standing(), None);
    world.sleep(u64::try_from(40 * DAY_MS).unwrap());
    assert_eq!(world.pass(100), Changes::default());
    assert_eq!(world.standing(), None);
}

/// Rule R134.
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
        assert_eq!(world.live(100).anchored, Some(TrustReason::Settled));
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
        assert_eq!(world.pass(100).anchored, Some(TrustReason::Returned));
        assert_eq!(world.standing(), None);
    }
}

/// Rule R138.
#[tokio::test]
async fn clocks_that_keep_stepping_nine_minutes_settle_each_time_up_to_31_days_in_all() {
    let mut world = World::anchored();
    world.stamp();
    let step = 9 * 60_000;
    let mut steps = 0;
    loop {
        world.leap(step);
        steps += 1;
        assert_eq!(world.live(60_000).anchored, None, "step {steps} is not trusted at once");
        if world.pass(100).anchored != Some(TrustReason::Settled) {
            break;
        }
        world.stamp();
    }
    assert!(steps * step > 31 * DAY_MS && steps * step < 31 * DAY_MS + HOUR_MS, "{steps} steps");
    assert!(matches!(world.judged(), Err(Unsure::LeaptTooFar { .. })), "{:?}", world.judged());
    // Faster than it settles it is never sure at all.
    let mut world = World::anchored();
    for _ in 0..100 {
        world.leap(step);
        assert_eq!(world.live(50_000).anchored, None);
        assert_eq!(world.standing(), Some(ClockStanding::Settling));
        // Another node's clock, or a confirmation, could have let a statement in.
        world.observation.registry_time = world.observation.moment.wall;
    }
}

#[tokio::test]
async fn clocks_that_keep_leaping_thirty_days_need_an_operators_confirmation() {
    let mut world = World::anchored();
    world.leap(30 * DAY_MS);
    assert_eq!(world.live(60_100).anchored, Some(TrustReason::Settled));
    world.stamp();
    world.leap(30 * DAY_MS);
    assert_eq!(world.live(600_000).anchored, None);
    assert_eq!(world.standing(), Some(ClockStanding::TooFarAhead));
    let Err(unsure @ Unsure::LeaptTooFar { leapt_ms }) = world.judged() else { panic!() };
    assert!(leapt_ms.abs_diff(60 * DAY_MS) < 100_000, "{leapt_ms}");
    assert!(unsure.remedy().contains("`assent clock confirm`"));
    // The confirmation starts the count of leaps anew.
    assert!(world.anchor.confirm(&world.observation).unwrap().is_some());
    assert_eq!(world.standing(), None);
    world.stamp();
    world.leap(30 * DAY_MS);
    assert_eq!(world.live(60_100).anchored, Some(TrustReason::Settled));
    // So does one for a clock that is trusted.
    assert_eq!(world.anchor.confirm(&world.observation), Ok(None));
    world.stamp();
    world.leap(30 * DAY_MS);
    assert_eq!(world.live(60_100).anchored, Some(TrustReason::Settled));
}

#[tokio::test]
async fn a_clock_at_double_speed_is_unsure_for_as_long_as_it_runs_so() {
    let mut world = World::anchored();
    world.live(1_000);
    for tick in 0..36_000 {
        world.leap(100);
        let changes = world.pass(100);
        assert_eq!(changes.anchored, None, "after {tick} ticks");
        if tick > 5 {
            assert_eq!(world.standing(), Some(ClockStanding::Settling), "after {tick} ticks");
            world.observation.registry_time = world.observation.moment.wall;
        }
    }
    // Once it keeps to boot time it settles.
    assert_eq!(world.live(60_100).anchored, Some(TrustReason::Settled));
}

/// Rule R137.
#[tokio::test]
async fn nodes_whose_clocks_run_away_together_do_not_vouch_one_another_along() {
    // One is anchored 300 ms ahead of the other: whenever one has lost its anchor the other could have it still.
    let (mut one, mut other) = (World::anchored(), World::ahead(0));
    one.leap(300);
    other.leap(300);
    other.pass(0);
    let mut unsure = 0;
    for tick in 0..36_000 {
        if tick % 50 == 0 {
            one.leap(400);
            other.leap(400);
        }
        // As of the last pong, and of what it said of its clock then.
        (one.observation.vouched, other.observation.vouched) = (other.vouches(), one.vouches());
        one.pass(100);
        other.pass(100);
        unsure += i64::from(one.standing().is_some() && other.standing().is_some());
    }
    assert!(unsure > 35_000, "{unsure}");
    // Eight per cent of an hour, of which the anchors followed a thousandth.
    for world in [&one, &other] {
        let away = world.observation.moment.offset_ms() - world.anchor.offset_ms().unwrap();
        assert!(away > 280_000, "{away}");
    }
}

/// Rule R135.
#[tokio::test]
async fn a_clock_that_was_set_back_is_unsure_until_it_reaches_the_latest_trusted_time_again() {
    // Nothing was stamped for three hours, so registry time is behind all of it.
    let idle = || {
        let mut world = World::anchored();
        for _ in 0..3 {
            assert_eq!(world.pass(3_600_000), Changes::default());
        }
        world.leap(-HOUR_MS);
        assert_eq!(world.pass(100).leapt_ms, Some(-HOUR_MS));
        assert!(matches!(world.judged(), Err(Unsure::SetBack { .. })), "{:?}", world.judged());
        world
    };
    let mut world = idle();
    // Another voter that trusts this time does not help: it may have been started in the meantime, and remember nothing.
    world.observation.vouched = Some(0);
    assert_eq!(world.live(3_598_000), Changes::default());
    assert_eq!(world.standing(), Some(ClockStanding::Behind));
    assert_eq!(world.live(2_000).anchored, Some(TrustReason::Vouched));
    // Alone it settles.
    let mut world = idle();
    assert_eq!(world.live(3_600_000), Changes::default());
    assert_eq!(world.standing(), Some(ClockStanding::Settling));
    assert_eq!(world.live(61_000).anchored, Some(TrustReason::Settled));
    // Put right it is sure at once.
    let mut world = idle();
    world.leap(HOUR_MS);
    assert_eq!(world.pass(100).anchored, Some(TrustReason::Returned));
    assert_eq!(world.standing(), None);
    // An operator may say that the time before was the wrong one.
    let mut world = idle();
    assert!(world.anchor.confirm(&world.observation).unwrap().is_some());
    assert_eq!(world.live(10_000), Changes::default());
    assert_eq!(world.standing(), None);
}

/// Rule R139.
#[tokio::test]
async fn clocks_eleven_years_ahead_never_settle_and_one_confirmation_is_enough() {
    let mut world = World::ahead(11 * YEAR_MS);
    assert_eq!(world.live(600_000), Changes::default());
    assert_eq!(world.standing(), Some(ClockStanding::TooFarAhead));
    let confirmed = world.anchor.confirm(&world.observation).unwrap().unwrap();
    assert_eq!(confirmed.ahead_ms, 11 * YEAR_MS + 600_000);
    assert_eq!(world.standing(), None);
    assert_eq!(world.anchor.confirm(&world.observation), Ok(None), "said already");
    assert_eq!(world.live(10_000), Changes::default());
    assert_eq!(world.anchor.confirmed(), Some(confirmed));
    // It was for this and for no later leap.
    world.leap(YEAR_MS);
    assert_eq!(world.live(100).leapt_ms, Some(YEAR_MS));
    assert_eq!(world.anchor.confirmed(), None);
    assert_eq!(world.live(600_000), Changes::default());
    assert_eq!(world.standing(), Some(ClockStanding::TooFarAhead));
}

/// Rule R139.
#[tokio::test]
async fn no_confirmation_helps_without_a_quorum_or_behind_registry_time() {
    let mut world = World::ahead(11 * YEAR_MS);
    world.observation.quorum = false;
    assert_eq!(world.anchor.confirm(&world.observation), Err(Unsure::NoQuorum { bound_ms: BOUND_MS }));
    let mut world = World::ahead(-HOUR_MS);
    assert_eq!(world.anchor.confirm(&world.observation), Err(Unsure::Behind { behind_ms: 3_600_000 }));
    assert_eq!(world.anchor.offset_ms(), None);
}

/// Rule R137.
#[tokio::test]
async fn an_anchored_voter_that_agrees_vouches_for_a_node_that_was_restarted() {
    for ahead in [DAY_MS, 40 * DAY_MS] {
        let mut world = World::ahead(ahead);
        assert_eq!(world.live(1_000).anchored, None);
        world.observation.vouched = Some(0);
        assert_eq!(world.pass(100).anchored, Some(TrustReason::Vouched));
        assert_eq!(world.standing(), None);
    }
    // It takes over what that one trusts, not what its own clock shows.
    let mut world = World::ahead(DAY_MS);
    world.observation.vouched = Some(-400);
    assert_eq!(world.pass(0).anchored, Some(TrustReason::Vouched));
    assert_eq!(world.anchor.offset_ms(), Some(world.observation.moment.offset_ms() - 400));
    // A node whose clock leapt alone is vouched for likewise.
    let mut world = World::anchored();
    world.leap(40 * DAY_MS);
    world.observation.vouched = Some(0);
    assert_eq!(
        world.pass(100),
        Changes { leapt_ms: Some(40 * DAY_MS), anchored: Some(TrustReason::Vouched) }
    );
    // Not without a quorum.
    let mut world = World::ahead(DAY_MS);
    (world.observation.quorum, world.observation.vouched) = (false, Some(0));
    assert_eq!(world.live(1_000).anchored, None);
}

/// Rule R138.
#[tokio::test]
async fn an_agreement_settles_only_without_a_break() {
    // The quorum is lost for a moment.
    let mut world = World::ahead(DAY_MS);
    world.live(59_000);
    world.observation.quorum = false;
    world.pass(100);
    world.observation.quorum = true;
    assert_eq!(world.live(60_000).anchored, None);
    assert_eq!(world.live(100).anchored, Some(TrustReason::Settled));
    // The wall clock leaps again.
    let mut world = World::ahead(DAY_MS);
    world.live(59_000);
    world.leap(HOUR_MS);
    assert_eq!(world.live(60_000).anchored, None);
    assert_eq!(world.live(100).anchored, Some(TrustReason::Settled));
    // The host sleeps, and the clock is not observed in the meantime.
    let mut world = World::ahead(DAY_MS);
    world.live(1_000);
    world.sleep(100_000);
    assert_eq!(world.live(60_000).anchored, None);
    assert_eq!(world.live(100).anchored, Some(TrustReason::Settled));
    // The node itself did not look.
    let mut world = World::ahead(DAY_MS);
    world.live(1_000);
    assert_eq!(world.pass(100_000).anchored, None);
}

/// Rule R134.
#[tokio::test]
async fn a_clock_behind_registry_time_is_unsure_until_it_has_reached_it() {
    let mut world = World::anchored();
    world.observation.registry_time = world.observation.moment.wall.saturating_add(500);
    assert_eq!(world.standing(), None, "within the bound");
    world.observation.registry_time = world.observation.moment.wall.saturating_add(501);
    assert_eq!(world.judged(), Err(Unsure::Behind { behind_ms: 501 }));
    world.pass(1);
    assert_eq!(world.standing(), None);
    // At the start likewise.
    let mut world = World::ahead(-10_000);
    assert_eq!(world.live(9_000).anchored, None);
    assert_eq!(world.live(1_000).anchored, Some(TrustReason::NearRegistryTime));
}

/// Rule R140.
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
    for _ in 0..6_000 {
        world.leap(1);
        let changes = world.pass(100);
        leapt |= changes.leapt_ms.is_some();
        assert_eq!(changes.anchored, None);
        assert_eq!(world.standing().is_some(), leapt, "sure until it has left, and never again");
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
        (Unsure::Settling { ahead_ms: -200, left_ms: 1_000 }, "200 ms behind registry time", "wait until"),
        (Unsure::SetBack { behind_ms: 7_200_000 }, "set back and is 2 hours behind", "on each node"),
        (Unsure::TooFarAhead { ahead_ms: 11 * YEAR_MS }, "4015 days ahead", "`assent clock confirm`"),
        (Unsure::LeaptTooFar { leapt_ms: 60 * DAY_MS }, "leapt 60 days ahead", "`assent clock confirm`"),
    ];
    for (unsure, detail, remedy) in reasons {
        assert!(unsure.detail().contains(detail), "{}", unsure.detail());
        assert!(unsure.remedy().contains(remedy), "{}", unsure.remedy());
        assert!(unsure.told().contains(detail), "{}", unsure.told());
        let text = format!("the leader does not trust its clock: {}", unsure.told());
        let own = Some(unsure.remedy()).filter(|remedy| *remedy != Code::ClockUncertain.remedy());
        assert_eq!(Unsure::split_text(&text).map(|(_, remedy)| remedy), own, "{text}");
        if let Some((told, _)) = Unsure::split_text(&text) {
            assert!(told.ends_with(&unsure.detail()), "{told}");
        }
    }
    assert_eq!(Unsure::split_text("no leader is known"), None);
    assert_eq!(span(999), "999 ms");
    assert_eq!(span(1_999), "1999 ms");
    assert_eq!(span(119_999), "119 s");
    assert_eq!(span(86_400_000), "24 hours");
}

#[tokio::test]
async fn extreme_times_saturate_instead_of_wrapping() {
    for (wall, registry_time) in [(i64::MIN, i64::MAX), (i64::MAX, i64::MIN), (i64::MAX, 0), (i64::MIN, 0)] {
        let mut world = World::anchored();
        world.observation.moment.wall = Millis(wall);
        world.observation.registry_time = Millis(registry_time);
        assert!(world.pass(100).leapt_ms.is_some());
        assert!(world.judged().is_err());
    }
}
