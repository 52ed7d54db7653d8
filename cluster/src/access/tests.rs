//! Who is identified as whom, with real files that change.

use std::path::PathBuf;

use super::*;

fn token(seed: u8) -> Token {
    Token::generate(|bytes| bytes.fill(seed))
}

fn entry(name: &str, role: Role) -> CallerConfig {
    CallerConfig {
        name: name.to_owned(),
        certificate: None,
        tokens: None,
        roles: vec![role],
        domains: None,
        jwt: None,
        rate: None,
        burst: None,
    }
}

struct Fixture {
    folder: tempfile::TempDir,
    callers: Vec<CallerConfig>,
    issuers: Vec<JwtIssuerConfig>,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let callers = vec![
            CallerConfig {
                certificate: Some("spiffe://example.org/scheduler".to_owned()),
                ..entry("by-certificate", Role::Scheduler)
            },
            CallerConfig { tokens: Some(path("a.tokens")), ..entry("a", Role::Auditor) },
            CallerConfig { tokens: Some(path("b.tokens")), ..entry("b", Role::Operator) },
        ];
        let made = Self { folder, callers, issuers: Vec::new() };
        made.write("a.tokens", &format!("{}\n", token(1).digest()));
        made.write("b.tokens", &format!("{}\n", token(2).digest()));
        made
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn read(&self, plain_http: bool, public_read: bool) -> Result<Access, SettingError> {
        Access::read(&AccessConfig {
            plain_http,
            public_read,
            callers: &self.callers,
            jwt_issuers: &self.issuers,
        })
    }
}

fn name(caller: &Caller) -> &str {
    match caller.who() {
        Who::Named { name, .. } => name,
        Who::Unknown(why) => why.as_str(),
        Who::Local => "local",
        Who::Node => "node",
    }
}

fn by_token(access: &Access, token: &Token) -> String {
    let shown = Shown { bearer: Some(token.expose()), ..Shown::default() };
    name(&access.identify(shown, None, &|| true)).to_owned()
}

#[test]
fn a_caller_is_who_the_table_says_and_a_bearer_token_is_decisive() {
    let access = Fixture::new().read(false, false).unwrap();
    let id = |text: &str| Some(SpiffeId::parse(text).unwrap());
    let listed = id("spiffe://example.org/scheduler");
    let good = token(1);
    for (certificate, bearer, expected) in [
        (None, None, "nothing_shown"),
        (listed.clone(), None, "by-certificate"),
        (id("spiffe://example.org/scheduler/x"), None, "certificate_not_listed"),
        (None, Some(good.expose()), "a"),
        (listed.clone(), Some(good.expose()), "a"),
        // A good certificate does not make up for a bad token.
        (listed.clone(), Some(token(9).expose()), "token_not_listed"),
        (listed.clone(), Some("assent_short"), "bearer_malformed"),
        (listed.clone(), Some(""), "bearer_malformed"),
        (None, Some("a.b.c"), "jwt_clock_uncertain"),
    ] {
        let caller = access.identify(Shown { certificate, bearer }, None, &|| true);
        assert_eq!(name(&caller), expected);
    }
    // It is told who it is, so that its operator can compare that with the table.
    let other = Shown { certificate: id("spiffe://example.org/scheduler/x"), ..Shown::default() };
    let why = access.identify(other, None, &|| true).permitted(RoleSet::ALL).unwrap_err();
    assert!(why.unknown && why.detail.ends_with("it is `spiffe://example.org/scheduler/x`"), "{why:?}");
    assert!(format!("{access:?}").contains("by-certificate"));
    assert!(!format!("{access:?}").contains(good.expose()));
}

#[test]
fn a_caller_that_shows_nothing_is_public_only_if_the_configuration_says_so() {
    let fixture = Fixture::new();
    let nothing = |access: &Access| access.identify(Shown::default(), None, &|| true);
    assert_eq!(nothing(&fixture.read(false, false).unwrap()).roles(), RoleSet::NONE);
    let public = nothing(&fixture.read(false, true).unwrap());
    assert_eq!(public.roles(), RoleSet::NONE.with(Role::Public));
    let local = nothing(&fixture.read(true, false).unwrap());
    assert_eq!((name(&local), local.roles()), ("local", RoleSet::ALL));
    // A caller that shows something bad gets no less attention than one that shows nothing.
    let bad = Shown { bearer: Some("assent_x"), ..Shown::default() };
    assert_eq!(fixture.read(false, true).unwrap().identify(bad, None, &|| true).roles(), RoleSet::NONE);
}

#[test]
fn a_token_is_added_and_withdrawn_without_a_restart() {
    let fixture = Fixture::new();
    let access = fixture.read(false, false).unwrap();
    assert_eq!(by_token(&access, &token(3)), "token_not_listed");
    fixture.write("a.tokens", &format!("{}\n{}\n", token(1).digest(), token(3).digest()));
    access.reload();
    assert_eq!((by_token(&access, &token(1)), by_token(&access, &token(3))), ("a".into(), "a".into()));
    fixture.write("a.tokens", "# locked out\n");
    access.reload();
    for withdrawn in [token(1), token(3)] {
        assert_eq!(by_token(&access, &withdrawn), "token_not_listed");
    }
    assert_eq!(by_token(&access, &token(2)), "b", "the other file stays in force");
}

#[test]
fn a_bad_file_leaves_what_it_held_in_force_and_the_others_change_all_the_same() {
    let fixture = Fixture::new();
    let access = fixture.read(false, false).unwrap();
    fixture.write("b.tokens", &format!("{}\n", token(4).digest()));
    for bad in [Some(""), Some("not a digest\n"), None] {
        match bad {
            Some(text) => fixture.write("a.tokens", text),
            None => std::fs::remove_file(fixture.path("a.tokens")).unwrap(),
        }
        access.reload();
        assert_eq!(by_token(&access, &token(1)), "a", "{bad:?}");
        assert_eq!(by_token(&access, &token(4)), "b");
    }
}

#[test]
fn a_token_in_two_files_is_nobodys() {
    let fixture = Fixture::new();
    let access = fixture.read(false, false).unwrap();
    fixture.write("b.tokens", &format!("{}\n", token(1).digest()));
    access.reload();
    assert_eq!(by_token(&access, &token(1)), "token_not_listed");
    let why = fixture.read(false, false).unwrap_err();
    assert_eq!(why.field, "callers[2].tokens");
    // It says which two files, whose they are, and what to do.
    for said in
        ["b.tokens` of caller `b`", "a.tokens` of caller `a` (`callers[1].tokens`)", "assent cert token"]
    {
        assert!(why.problem.contains(said), "{said}: {why}");
    }
    assert!(why.problem.contains(&token(1).digest().to_string()), "{why}");
    assert!(!why.problem.contains(token(1).expose()), "{why}");
}

#[test]
fn a_node_does_not_start_with_a_file_that_it_cannot_use() {
    use std::os::unix::fs::PermissionsExt;
    let fixture = Fixture::new();
    let path = fixture.path("a.tokens");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    let why = fixture.read(false, false).unwrap_err();
    assert_eq!(why.field, "callers[1].tokens");
    assert!(why.problem.contains("chmod o-w"), "{why}");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    fixture.write("a.tokens", &"#".repeat(TOKEN_FILE_BYTES + 1));
    let why = fixture.read(false, false).unwrap_err();
    assert!(why.problem.contains("more than 65536 bytes"), "{why}");
    std::fs::remove_file(&path).unwrap();
    assert!(fixture.read(false, false).unwrap_err().problem.contains("cannot read"));
}

/// It fails if a header with the scheme is taken for one without a token, so that the certificate beside it counts.
#[test]
fn only_the_bearer_scheme_has_a_bearer_token() {
    for (header, token) in [
        ("Bearer abc", Some("abc")),
        ("bearer  abc ", Some("abc")),
        // What is no good token is a bad one, and not none.
        ("Bearer\tabc", Some("abc")),
        ("\tBearer \t abc", Some("abc")),
        ("Bearer", Some("")),
        ("bearer ", Some("")),
        ("Bearer:abc", Some(":abc")),
        ("Bearer abc def", Some("abc def")),
        ("Basic abc", None),
        ("Bearer-x abc", Some("")),
        ("Bearerabc", Some("")),
        ("\"Bearer\" abc", Some("")),
        ("Basic eDp5, bearer abc", Some("")),
        ("assent_abc", Some("")),
        ("Token ASSENT_abc", Some("")),
        ("", None),
    ] {
        assert_eq!(Shown::bearer_of(header), token, "{header}");
    }
}
