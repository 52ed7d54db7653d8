//! The profiles of small ledgers: one domain, `prod`, mostly one lineage, few keys.
//!
//! Governance keys are 60 and those after it, attesters 65 and 66, orchestration 69, audit 73 and 74.

use assent_proof::{Claims, EvidenceKind, Role, Sha256};

use super::super::draft::Draft;
use super::super::profile::Profile;
use super::Hand;
use super::evidence::plain_authorization;

const DOMAIN: &str = "prod";
const LINEAGE: (&str, &str) = (DOMAIN, "exec-1");
const HOST: (&str, &str) = (DOMAIN, "host-1");

const GOVERNORS: [u8; 2] = [60, 61];
const ATTESTERS: [u8; 2] = [65, 66];
const ORCHESTRATION: u8 = 69;
const AUDITORS: [u8; 2] = [73, 74];

impl Hand<'_> {
    pub(super) fn open_small(&mut self, profile: Profile, number: u64) -> Option<Draft> {
        let threshold = if profile == Profile::Governance { 2 } else { 1 };
        match number {
            0 => {
                let kind = match profile {
                    Profile::Slots => EvidenceKind::PolicyValidation,
                    _ => EvidenceKind::RuntimeAttestation,
                };
                let policy = Claims::Policy(self.small_policy(kind));
                let signers: Vec<u8> = GOVERNORS.into_iter().take(threshold).collect();
                self.governs(DOMAIN, policy, &signers)
            }
            // In a ledger of slots, the governance key's first statements matter most.
            1 if profile != Profile::Slots => self.says(LINEAGE, 60, plain_authorization(), 1_000),
            2 if self.once_in(3) => self.says(HOST, 60, plain_authorization(), 1_000),
            _ => None,
        }
    }

    /// A governance key of the domain, whether it still governs or not.
    pub(super) fn governor(&mut self) -> u8 {
        self.governors(DOMAIN, 1).first().copied().unwrap_or(60)
    }

    /// Attesters' statements, and the statements that restrict or release them.
    pub(super) fn words(&mut self) -> Option<Draft> {
        let attester = if self.once_in(6) { 66 } else { 65 };
        let revoked = self.both.is_revoked(attester);
        match self.dice.below(24) {
            0..=4 if revoked => self.release_negative(DOMAIN, &[60]),
            5..=7 if revoked => self.reconcile(DOMAIN, &[60]),
            8..=11 if revoked => self.revoke_for_words(attester),
            0..=11 => self.word_of(attester, 7),
            12..=14 => self.word_of(attester, 1),
            15..=17 => self.reconcile(DOMAIN, &[60]),
            18 | 19 => self.revoke_for_words(attester),
            20 => self.release(DOMAIN, &[60]),
            21 => self.authorized(60, plain_authorization(), 3),
            22 => {
                let policy = Claims::Policy(self.small_policy(EvidenceKind::RuntimeAttestation));
                self.governs(DOMAIN, policy, &[60])
            }
            // A restriction of everything hides many other faults.
            _ if self.once_in(3) => self.contain(DOMAIN, LINEAGE.1, 60),
            _ => self.word_of(attester, 7),
        }
    }

    /// A statement by governance or orchestration. A second statement for the first slot may have another subject.
    fn authorized(&mut self, issuer: u8, claims: Claims, older_one_in: u64) -> Option<Draft> {
        let mut draft = self.says(LINEAGE, issuer, claims, older_one_in)?;
        if self.once_in(12) {
            self.rest(&mut draft);
        }
        let founded = !self.both.chain(&draft.chain()).is_empty();
        let second = founded && draft.slot.is_some_and(|slot| slot.sequence == 0);
        if self.once_in(if second { 6 } else { 80 }) {
            draft.subject = Some(Sha256::of(b"another"));
        }
        Some(draft)
    }

    fn word_of(&mut self, attester: u8, older_one_in: u64) -> Option<Draft> {
        let place = if self.once_in(12) { HOST } else { LINEAGE };
        let word = self.word();
        let mut draft = self.says(place, attester, word, older_one_in)?;
        if self.once_in(12) {
            self.rest(&mut draft);
        }
        if self.once_in(60) {
            draft.subject = Some(Sha256::of(b"another"));
        }
        Some(draft)
    }

    /// A revocation of an attester, mostly with `invalidSince`; sometimes signed by the attester itself.
    fn revoke_for_words(&mut self, attester: u8) -> Option<Draft> {
        let by_itself = self.once_in(8);
        let since = if by_itself && self.once_in(2) { None } else { self.maybe_since(attester) };
        self.revoke(DOMAIN, attester, since, &[if by_itself { attester } else { 60 }])
    }

    /// Authorizations and validations by keys that may sign both, in each other's slots.
    pub(super) fn slots(&mut self) -> Option<Draft> {
        let issuer = match self.dice.below(6) {
            0 => ORCHESTRATION,
            1 => 61,
            _ => 60,
        };
        // A governance key that still governs, and not the issuer's if there is another one.
        let able: Vec<u8> =
            GOVERNORS.into_iter().filter(|number| *number != issuer && self.both.is_live(*number)).collect();
        let other = self.dice.pick(&able).copied().unwrap_or(60);
        match self.dice.below(20) {
            sort @ 0..=12 => {
                let claims = match self.dice.below(5) {
                    _ if issuer == ORCHESTRATION => self.validation(),
                    0 | 1 => self.validation(),
                    2 => plain_authorization(),
                    _ => self.authorization(2),
                };
                self.authorized(issuer, claims, if sort < 9 { 9 } else { 1 })
            }
            13..=15 => self.reconcile(DOMAIN, &[other]),
            16 => {
                let since = self.maybe_since(issuer);
                self.revoke(DOMAIN, issuer, since, &[other])
            }
            17 => self.release(DOMAIN, &[other]),
            18 => {
                let policy = Claims::Policy(self.small_policy(EvidenceKind::PolicyValidation));
                self.governs(DOMAIN, policy, &[other])
            }
            _ => self.contain(DOMAIN, LINEAGE.1, other),
        }
    }

    /// Governance and root keys that are added and removed.
    pub(super) fn governance(&mut self) -> Option<Draft> {
        let signers = self.governors(DOMAIN, 2);
        match self.dice.below(24) {
            0..=3 => self.revoke_governor(&signers),
            4 | 5 => self.revoke_root(),
            6 | 7 => self.replace_governance(DOMAIN, 2),
            8 if self.once_in(2) => self.replace_root(),
            8..=10 => {
                let number = self.dice.pick(&ATTESTERS).copied()?;
                self.grant(DOMAIN, number, Role::Attestation, &signers)
            }
            11 => {
                let policy = Claims::Policy(self.small_policy(EvidenceKind::RuntimeAttestation));
                self.governs(DOMAIN, policy, &signers)
            }
            12 => self.reconcile(DOMAIN, &signers),
            13 | 14 => self.release(DOMAIN, &signers),
            15 | 16 => {
                let governor = self.governor();
                self.contain(DOMAIN, LINEAGE.1, governor)
            }
            17 => {
                let attester = self.dice.pick(&ATTESTERS).copied()?;
                let since = self.maybe_since(attester);
                self.revoke(DOMAIN, attester, since, &signers)
            }
            18..=20 => {
                let governor = self.governor();
                self.says(LINEAGE, governor, plain_authorization(), 9)
            }
            _ => {
                let attester = self.dice.pick(&ATTESTERS).copied()?;
                self.word_of(attester, 6)
            }
        }
    }

    /// Revokes a governance key: by itself, by the others, or by others together with itself.
    fn revoke_governor(&mut self, signers: &[u8]) -> Option<Draft> {
        let number = self.governor();
        let by_itself = self.once_in(2);
        let since = self.maybe_since(number);
        let others: Vec<u8> = signers.iter().copied().filter(|signer| *signer != number).collect();
        let by = match self.dice.below(3) {
            _ if by_itself => vec![number],
            0 => signers.to_vec(),
            _ => others,
        };
        if by.is_empty() { None } else { self.revoke(DOMAIN, number, since, &by) }
    }

    pub(super) fn revoke_root(&mut self) -> Option<Draft> {
        let signers = self.governors("_root", 2);
        let number = *signers.first()?;
        let since = self.maybe_since(number);
        let by = if self.once_in(2) { vec![number] } else { signers };
        self.revoke("_root", number, since, &by)
    }

    /// Restrictions and their releases, over and over.
    pub(super) fn holds(&mut self) -> Option<Draft> {
        let governor = self.governor();
        let all = [GOVERNORS, AUDITORS].concat();
        let holder = self.dice.pick(&all).copied()?;
        match self.dice.below(20) {
            0..=5 => self.contain(DOMAIN, LINEAGE.1, holder),
            6 | 7 => self.contain_again(),
            8..=13 => self.release(DOMAIN, &[governor]),
            14 => {
                let since = self.maybe_since(holder);
                let by = if self.once_in(3) { holder } else { governor };
                self.revoke(DOMAIN, holder, since, &[by])
            }
            15 => self.reconcile(DOMAIN, &[governor]),
            16 => self.says(LINEAGE, governor, plain_authorization(), 6),
            _ => self.word_of(65, 6),
        }
    }
}
