//! How long authorizes and read barriers took inside the nodes, by the nodes' own metrics.
//!
//! A caller measures from the first byte that it sends to the last byte of the answer. A node measures an authorize
//! from the moment at which it has read the request. The difference is spent in sockets, in TLS, and in waiting for a
//! processor, on both sides.

use serde::Serialize;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;

use crate::Failure;
use crate::connection::{Opener, get};
use crate::own::{CallerName, OwnCluster};

/// The histograms' names on the page.
const AUTHORIZE: &str = "assent_authorize_seconds";
const BARRIER: &str = "assent_barrier_seconds";

/// The histograms of one node, as they were at one time.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    authorize: Histogram,
    barrier: Histogram,
}

/// What one node measured between two times, for all of its callers together.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InNode {
    /// Calls that ask for decisions, from their arrival to the decision.
    pub(crate) authorize: Took,
    /// Read barriers, from their start to their end, passed or not.
    pub(crate) barrier: Took,
}

/// How long something took.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Took {
    /// How often it happened.
    pub(crate) count: u64,
    /// The mean, in milliseconds; none if it did not happen.
    pub(crate) mean_ms: Option<f64>,
    /// The end of the histogram's bucket in which the p99 lies, in milliseconds. Each bucket ends at twice the end of
    /// the one before. None if it did not happen, or if the p99 lies beyond the last end, about 3 s.
    pub(crate) p99_at_most_ms: Option<f64>,
}

/// Reads the histograms of each node.
pub(crate) async fn look(own: &OwnCluster) -> Result<Vec<Seen>, Failure> {
    // Of the callers, this one may read metrics.
    let tls = own.tls(CallerName::Bench);
    let mut seen = Vec::new();
    for endpoint in &own.cluster.endpoints {
        let opener = Opener::new(endpoint, tls.as_ref())?;
        let mut stream = opener.open(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        let page = get(&mut stream, opener.host(), "/metrics").await?;
        let (authorize, barrier) = (Histogram::read(&page, AUTHORIZE)?, Histogram::read(&page, BARRIER)?);
        seen.push(Seen { authorize, barrier });
    }
    Ok(seen)
}

/// What each node measured between two looks.
pub(crate) fn between(before: &[Seen], after: &[Seen]) -> Vec<InNode> {
    let one = |(before, after): (&Seen, &Seen)| InNode {
        authorize: after.authorize.since(&before.authorize),
        barrier: after.barrier.since(&before.barrier),
    };
    before.iter().zip(after).map(one).collect()
}

/// A histogram of durations, as a page of metrics shows it.
#[derive(Clone, Debug)]
struct Histogram {
    count: u64,
    sum_seconds: f64,
    /// Each bucket's end in seconds, and how many durations are no longer than that. The last bucket, which has no end,
    /// is left out.
    buckets: Vec<(f64, u64)>,
}

impl Histogram {
    fn read(page: &str, name: &str) -> Result<Histogram, Failure> {
        let missing = || Failure::from(format!("the page of metrics has no histogram `{name}`"));
        let bucket = |line: &str| -> Option<(f64, u64)> {
            let (end, count) = line.strip_prefix(name)?.strip_prefix("_bucket{le=\"")?.split_once("\"} ")?;
            Some((end.parse().ok()?, count.parse().ok()?))
        };
        let buckets: Vec<(f64, u64)> =
            page.lines().filter_map(bucket).filter(|(end, _)| end.is_finite()).collect();
        if buckets.is_empty() {
            return Err(missing());
        }
        Ok(Histogram {
            count: value(page, &format!("{name}_count")).ok_or_else(missing)?,
            sum_seconds: value(page, &format!("{name}_sum")).ok_or_else(missing)?,
            buckets,
        })
    }

    /// What was added since an earlier page of the same process, whose buckets are the same.
    fn since(&self, before: &Histogram) -> Took {
        let count = self.count.saturating_sub(before.count);
        if count == 0 {
            return Took { count, mean_ms: None, p99_at_most_ms: None };
        }
        // One in a hundred may take longer.
        let most = count.saturating_sub(count / 100);
        let p99 = self
            .buckets
            .iter()
            .zip(&before.buckets)
            .find(|((_, now), (_, then))| now.saturating_sub(*then) >= most)
            .map(|((end, _), _)| *end);
        Took {
            count,
            mean_ms: Some((self.sum_seconds - before.sum_seconds) * 1000.0 / float(count)),
            p99_at_most_ms: p99.map(|end| end * 1000.0),
        }
    }
}

/// The value of a metric without labels.
fn value<T: FromStr>(page: &str, name: &str) -> Option<T> {
    page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

#[expect(clippy::cast_precision_loss, reason = "a node counts far fewer than 2^52 calls")]
fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page of two histograms, of which the one that is asked for has these values.
    fn page(sum: f64, buckets: [u64; 3]) -> String {
        let [one, two, all] = buckets;
        format!(
            "# HELP {BARRIER} From the start.\n# TYPE {BARRIER} histogram\n{BARRIER}_sum 9.0\n{BARRIER}_count 9\n\
             {BARRIER}_bucket{{le=\"0.5\"}} 9\n{BARRIER}_bucket{{le=\"+Inf\"}} 9\n# TYPE {AUTHORIZE} histogram\n\
             {AUTHORIZE}_sum {sum}\n{AUTHORIZE}_count {all}\n{AUTHORIZE}_bucket{{le=\"0.5\"}} {one}\n\
             {AUTHORIZE}_bucket{{le=\"1.0\"}} {two}\n{AUTHORIZE}_bucket{{le=\"+Inf\"}} {all}\n"
        )
    }

    fn took(before: (f64, [u64; 3]), after: (f64, [u64; 3])) -> Took {
        let read = |(sum, buckets)| Histogram::read(&page(sum, buckets), AUTHORIZE).unwrap();
        read(after).since(&read(before))
    }

    #[test]
    fn what_a_node_measured_between_two_pages_is_the_difference_of_their_histograms() {
        // Of the 200 that were added, two took longer than half a second.
        let added = took((8.0, [5, 8, 10]), (58.0, [203, 208, 210]));
        assert_eq!(added, Took { count: 200, mean_ms: Some(250.0), p99_at_most_ms: Some(500.0) });
        // One more of them took longer.
        let added = took((8.0, [5, 8, 10]), (58.0, [202, 208, 210]));
        assert_eq!(added.p99_at_most_ms, Some(1000.0));
        // Three took longer than the last bucket's end.
        let added = took((8.0, [5, 8, 10]), (58.0, [5, 205, 210]));
        assert_eq!((added.count, added.p99_at_most_ms), (200, None));
    }

    #[test]
    fn what_did_not_happen_has_neither_a_mean_nor_a_p99() {
        let none = took((8.0, [5, 8, 10]), (8.0, [5, 8, 10]));
        assert_eq!(none, Took { count: 0, mean_ms: None, p99_at_most_ms: None });
    }

    #[test]
    fn a_page_without_the_histogram_is_refused_with_its_name() {
        let whole = page(1.0, [1, 1, 1]);
        for (line, without) in [("_sum", "_sums"), ("_count", "_counts"), ("_bucket{", "_buckets{")] {
            let page = whole.replace(&format!("{AUTHORIZE}{line}"), &format!("{AUTHORIZE}{without}"));
            let error = Histogram::read(&page, AUTHORIZE).unwrap_err().to_string();
            assert!(error.contains(AUTHORIZE), "{error}");
        }
    }
}
