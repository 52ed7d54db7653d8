//! The bodies for submitting a batch of envelopes, and the result of each envelope.

use assent_proof::{Code, FieldError, Fields, Refusal, json};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::limits::{MAX_BATCH, MAX_BATCH_BYTES};
use crate::problem::Problem;
use crate::receipt::ReceiptBody;

/// What a batch does when one of its envelopes is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BatchMode {
    /// Each envelope is accepted or refused by itself.
    #[default]
    Each,
    /// Either all envelopes are accepted, or none is.
    All,
}

/// The body of 200 for `POST /v1/envelopes:batch`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchResponse {
    /// One result for each envelope, in the order given.
    pub results: Vec<BatchResult>,
}

impl BatchResponse {
    /// The body, as compact JSON.
    pub fn to_vec(&self) -> Vec<u8> {
        assent_proof::json::to_vec(self)
    }
}

/// The most bytes of one element of a batch's answer. An element may quote its envelope. In a batch of mode `all`, the
/// refusal of one envelope is repeated for all others.
pub const MAX_RESULT_BYTES: usize = 4096;

/// The most characters of the detail and of the field of a problem in a batch's answer. Each character takes at most 6
/// bytes, and everything else in the element takes less than 1200 bytes together.
const DETAIL_CHARS: usize = 360;
const FIELD_CHARS: usize = 100;

/// The result of one envelope of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchResult {
    /// The status that the envelope would have had alone. For a good envelope in a refused batch of mode `all`, it is
    /// the status of the envelope that failed the batch.
    pub status: u16,
    /// Whether nothing was found wrong with the envelope although it is not accepted. The batch is then of mode `all`,
    /// and `problem.field` names the envelope that failed the batch, as `envelopes[<place>]` from 0. Absent otherwise.
    #[serde(default, skip_serializing_if = "is_false")]
    pub good: bool,
    /// The envelope's receipt, if it was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<ReceiptBody>,
    /// Why the envelope was not accepted, otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

impl BatchResult {
    /// The result of an accepted envelope: 201 if this submission was the first one, 200 if the envelope was accepted
    /// before.
    pub fn accepted(receipt: ReceiptBody, fresh: bool) -> Self {
        BatchResult {
            status: if fresh { 201 } else { 200 },
            good: false,
            receipt: Some(receipt),
            problem: None,
        }
    }

    /// The result of an envelope that was not accepted. A long detail or field is cut.
    pub fn refused(mut problem: Problem) -> Self {
        let good = problem.field.as_deref().is_some_and(Refusal::is_field_of_batch);
        cut(&mut problem.detail, DETAIL_CHARS);
        if let Some(field) = &mut problem.field {
            cut(field, FIELD_CHARS);
        }
        BatchResult { status: problem.status, good, receipt: None, problem: Some(problem) }
    }
}

/// Cuts a text to `most` characters. The last of them then shows that there were more.
fn cut(text: &mut String, most: usize) {
    let last = text.char_indices().nth(most.saturating_sub(1)).map(|(place, _)| place);
    if let Some(last) = last
        && text.chars().count() > most
    {
        text.truncate(last);
        text.push('…');
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

/// The body of `POST /v1/envelopes:batch`: the bytes of each envelope as they are, without white space around them.
///
/// # Errors
/// `malformed` for an envelope that is not a JSON value: in the body of a batch it could pass for two envelopes, or
/// for none.
pub fn batch_body(mode: BatchMode, envelopes: &[impl AsRef<[u8]>]) -> Result<Vec<u8>, Refusal> {
    #[derive(Serialize)]
    struct Batch<'a> {
        mode: BatchMode,
        envelopes: Vec<&'a RawValue>,
    }
    let raw = |(place, envelope)| {
        raw_value(envelope).map_err(|error| {
            let problem = format!("is not JSON: {error}");
            Refusal::at(Code::Malformed, format!("envelopes[{place}]"), problem)
        })
    };
    let envelopes: Result<Vec<&RawValue>, Refusal> =
        envelopes.iter().map(|envelope| envelope.as_ref()).enumerate().map(raw).collect();
    Ok(json::to_vec(&Batch { mode, envelopes: envelopes? }))
}

fn raw_value(bytes: &[u8]) -> serde_json::Result<&RawValue> {
    serde_json::from_slice(bytes)
}

/// Reads the body of `POST /v1/envelopes:batch`: `{mode?: each|all, envelopes[]}`, 1 to [`MAX_BATCH`] envelopes and
/// [`MAX_BATCH_BYTES`]. The envelopes are the original bytes of each element, so that `GET` returns what was submitted.
///
/// # Errors
/// `too_large`; `malformed` with the field at fault. The content of each envelope is judged later.
pub fn parse_batch(bytes: &[u8]) -> Result<(BatchMode, Vec<Vec<u8>>), Refusal> {
    bound(bytes)?;
    let body = json::parse(bytes)?;
    let mut fields = Fields::of(&body, "")?;
    let mode = match fields.opt_text("mode")? {
        None | Some("each") => BatchMode::Each,
        Some("all") => BatchMode::All,
        Some(_) => return Err(FieldError::new("mode", "must be `each` or `all`").into()),
    };
    let count = fields.array("envelopes")?.len();
    fields.finish()?;
    bound_count(count, "envelopes")?;
    let slices = slices(bytes)?;
    if slices.len() != count {
        return Err(FieldError::new("envelopes", "is read differently by two parsers").into());
    }
    Ok((mode, slices))
}

/// The bytes of each element of `envelopes`. The whole body was parsed strictly before, so this parser reads the same.
fn slices(bytes: &[u8]) -> Result<Vec<Vec<u8>>, Refusal> {
    #[derive(Deserialize)]
    struct Slices<'a> {
        #[serde(borrow)]
        envelopes: Vec<&'a RawValue>,
    }
    let slices: Slices<'_> = serde_json::from_slice(bytes)
        .map_err(|error| FieldError::new("envelopes", format!("could not be read: {error}")))?;
    Ok(slices.envelopes.into_iter().map(|raw| raw.get().as_bytes().to_vec()).collect())
}

/// Refuses a batch's body that is too long to be parsed.
pub(crate) fn bound(bytes: &[u8]) -> Result<(), Refusal> {
    if bytes.len() <= MAX_BATCH_BYTES {
        return Ok(());
    }
    let detail = format!("batch of `{}` bytes is over the limit of {MAX_BATCH_BYTES}", bytes.len());
    Err(Refusal::new(Code::TooLarge, detail))
}

/// Refuses a batch without elements, since any answer to it would say that all of it was accepted, and a batch with
/// too many.
pub(crate) fn bound_count(count: usize, field: &str) -> Result<(), Refusal> {
    if count == 0 {
        return Err(Refusal::at(Code::Malformed, field, format!("is empty: give 1 to {MAX_BATCH} elements")));
    }
    if count <= MAX_BATCH {
        return Ok(());
    }
    Err(Refusal::at(Code::TooLarge, field, format!("has `{count}` elements, more than {MAX_BATCH}")))
}

#[cfg(test)]
mod tests {
    use assent_proof::{EvidenceId, History, Millis};

    use super::*;

    #[test]
    fn a_batch_of_nothing_is_refused() {
        let code = |count| bound_count(count, "requests").map_err(|refusal| refusal.code);
        assert_eq!((code(0), code(1)), (Err(Code::Malformed), Ok(())));
        assert_eq!((code(MAX_BATCH), code(MAX_BATCH + 1)), (Ok(()), Err(Code::TooLarge)));
    }

    #[test]
    fn a_batch_keeps_the_original_bytes_of_each_envelope() {
        let first = br#"{ "b" : 1,  "a":"\u0041" }"#;
        let body = batch_body(BatchMode::All, &[&first[..], b"17", b"[1, 2]"]).unwrap();
        let text = r#"{"mode":"all","envelopes":[{ "b" : 1,  "a":"\u0041" },17,[1, 2]]}"#;
        assert_eq!(String::from_utf8(body.clone()).unwrap(), text);
        let (mode, envelopes) = parse_batch(&body).unwrap();
        assert_eq!(mode, BatchMode::All);
        assert_eq!(envelopes, [first.to_vec(), b"17".to_vec(), b"[1, 2]".to_vec()]);
    }

    #[test]
    fn an_envelope_that_would_be_another_number_of_elements_is_put_into_no_batch() {
        for bytes in [&b""[..], b"1,2", b"{}],\"mode\":\"all\"", b"{", b"\"\xff\""] {
            let refusal = batch_body(BatchMode::Each, &[&b"{}"[..], bytes]).unwrap_err();
            assert_eq!((refusal.code, refusal.field.as_deref()), (Code::Malformed, Some("envelopes[1]")));
        }
    }

    #[test]
    fn a_batch_without_mode_is_each_even_with_an_escaped_key() {
        let (mode, envelopes) = parse_batch(br#" {"envelop\u0065s" : [ {} ] } "#).unwrap();
        assert_eq!((mode, envelopes), (BatchMode::Each, vec![b"{}".to_vec()]));
    }

    #[test]
    fn bad_batches_name_the_field_at_fault() {
        for (body, code, field) in [
            (r#"{"mode":"some","envelopes":[]}"#, Code::Malformed, Some("mode")),
            (r#"{"envelopes":{}}"#, Code::Malformed, Some("envelopes")),
            (r#"{"mode":"each"}"#, Code::Malformed, Some("envelopes")),
            (r#"{"envelopes":[],"extra":1}"#, Code::Malformed, Some("extra")),
            (r#"{"envelopes":[]}"#, Code::Malformed, Some("envelopes")),
            (r#"{"envelopes":[{}],"envelopes":[]}"#, Code::Malformed, None),
            (r#"{"envelopes":[{}]} x"#, Code::Malformed, None),
            (r#"[[{}]]"#, Code::Malformed, None),
            ("\u{feff}{\"envelopes\":[]}", Code::Malformed, None),
        ] {
            let refusal = parse_batch(body.as_bytes()).unwrap_err();
            assert_eq!((refusal.code, refusal.field.as_deref()), (code, field), "{body}");
        }
    }

    #[test]
    fn batches_are_bounded_in_number_and_size() {
        let body = batch_body(BatchMode::Each, &vec!["1"; MAX_BATCH]).unwrap();
        assert_eq!(parse_batch(&body).unwrap().1.len(), MAX_BATCH);
        let body = batch_body(BatchMode::Each, &vec!["1"; MAX_BATCH + 1]).unwrap();
        assert_eq!(parse_batch(&body).unwrap_err().code, Code::TooLarge);
        assert_eq!(parse_batch(&vec![b' '; MAX_BATCH_BYTES + 1]).unwrap_err().code, Code::TooLarge);
    }

    #[test]
    fn the_result_of_a_good_envelope_in_a_refused_batch_says_that_it_was_good() {
        let cause = Refusal::new(Code::SignatureInvalid, "does not verify");
        let of = |refusal: &Refusal| BatchResult::refused(Problem::from_refusal(refusal, 400));
        let response = BatchResponse { results: vec![of(&Refusal::of_batch(1, &cause)), of(&cause)] };
        let text = String::from_utf8(response.to_vec()).unwrap();
        assert!(text.starts_with(r#"{"results":[{"status":400,"good":true,"problem":{"#), "{text}");
        assert_eq!(text.matches(r#""good":"#).count(), 1, "{text}");
        assert!(text.contains(r#""field":"envelopes[1]""#), "{text}");
        assert_eq!(serde_json::from_str::<BatchResponse>(&text).unwrap(), response);
    }

    #[test]
    fn the_answer_to_a_batch_is_bounded_whatever_the_envelopes_are_refused_for() {
        let history = History::founded([3; 32]);
        let evidence_id = EvidenceId([255; 32]);
        let receipt = ReceiptBody {
            evidence_id,
            ledger_index: u64::MAX,
            revision: u64::MAX,
            accepted_at: Millis(i64::MAX),
            history,
        };
        for code in Code::ALL {
            // As JSON writes it, one such character has six.
            let problem = Problem {
                field: Some("\u{1}".repeat(70_000)),
                outcome: Some(crate::OUTCOME_UNKNOWN.to_owned()),
                receipt: Some(receipt),
                head: Some(evidence_id),
                next_sequence: Some(u64::MAX),
                history: Some(history),
                shared_revision: Some(u64::MAX),
                ledger_revision: Some(u64::MAX),
                ..Problem::new(*code, 400, "\u{1}".repeat(70_000))
            };
            let bytes = assent_proof::json::to_vec(&BatchResult::refused(problem)).len();
            assert!(bytes <= MAX_RESULT_BYTES, "{code}: {bytes}");
        }
        assert!(assent_proof::json::to_vec(&BatchResult::accepted(receipt, true)).len() <= MAX_RESULT_BYTES);
        let short = Problem::from_refusal(&Refusal::at(Code::Malformed, "a", "b"), 400);
        assert_eq!(BatchResult::refused(short.clone()).problem, Some(short), "nothing of it is cut");
        let mut text = "äöü".to_owned();
        cut(&mut text, 3);
        assert_eq!(text, "äöü");
        cut(&mut text, 2);
        assert_eq!(text, "ä…");
    }

    #[test]
    fn a_batch_result_has_a_receipt_or_a_problem() {
        let problem = Problem::new(Code::HeadMoved, 409, "taken");
        let response = BatchResponse { results: vec![BatchResult::refused(problem)] };
        let text = String::from_utf8(response.to_vec()).unwrap();
        assert!(text.starts_with(r#"{"results":[{"status":409,"problem":{"type":"#), "{text}");
        assert_eq!(serde_json::from_str::<BatchResponse>(&text).unwrap(), response);
    }
}
