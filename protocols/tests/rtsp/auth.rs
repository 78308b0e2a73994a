//! Basic and Digest against the examples of the RFCs, and against ourselves.

use headwater_protocols::rtsp::auth::{Algorithm, Authenticator, Authorization, Challenge, Scheme};

/// RFC 7617, section 2.
#[test]
fn basic_of_the_rfc() {
    let read = Authorization::parse("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==").unwrap();
    assert!(read.verify("SETUP", "", "", "Aladdin", "open sesame"));
    assert!(!read.verify("SETUP", "", "", "Aladdin", "open sesam"));
    assert_eq!(read.write(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    let without_padding = Authorization::parse("basic  QWxhZGRpbjpvcGVuIHNlc2FtZQ").unwrap();
    assert_eq!(without_padding, read);
}

/// RFC 7616, section 3.9.1, and RFC 2069, section 2.4 with the response its erratum 749 gives.
#[test]
fn digests_of_the_rfcs() {
    let fields = "username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"/dir/index.html\", nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", nc=00000001, cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth, opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"";
    let rows = [
        (
            format!("Digest {fields}, algorithm=MD5, response=\"8ca523f5e9506fed4657c9700eebdbec\""),
            "Circle of Life",
        ),
        (
            format!(
                "Digest {fields}, algorithm=SHA-256, response=\"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1\""
            ),
            "Circle of Life",
        ),
    ];
    let (nonce, realm) = ("7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", "http-auth@example.org");
    for (value, password) in rows {
        let read = Authorization::parse(&value).unwrap();
        assert!(read.verify("GET", nonce, realm, "Mufasa", password), "{value}");
        assert!(!read.verify("PUT", nonce, realm, "Mufasa", password), "another method");
        assert!(!read.verify("GET", nonce, "other", "Mufasa", password), "another realm");
        assert_eq!(Authorization::parse(&read.write()), Ok(read));
    }
    let old = "Digest username=\"Mufasa\",realm=\"testrealm@host.com\",nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\",uri=\"/dir/index.html\",response=\"1949323746FE6A43EF61F9606E7FEBEA\",opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"";
    let read = Authorization::parse(old).unwrap();
    assert!(read.verify(
        "GET",
        "dcd98b7102dd2f0e8b11d0f600bfb0c093",
        "testrealm@host.com",
        "Mufasa",
        "CircleOfLife"
    ));
}

#[test]
fn tokens_prove_nothing_here() {
    let read = Authorization::parse("Bearer abc.def").unwrap();
    assert_eq!(read, Authorization::Bearer { token: "abc.def".into() });
    assert!(!read.verify("PLAY", "", "", "", "abc.def"));
}

#[test]
fn secrets_stay_out_of_debug_output() {
    for value in ["Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Bearer sesame"] {
        assert!(!format!("{:?}", Authorization::parse(value).unwrap()).contains("sesame"));
    }
    assert!(!format!("{:?}", Authenticator::new("u", "sesame")).contains("sesame"));
}

#[test]
fn what_cannot_be_read_is_refused() {
    let digest = "Digest username=\"u\", realm=\"r\", nonce=\"n\", uri=\"*\", response=\"0\"";
    let rows = [
        ("Basic", "invalid", 400),
        ("Basic !!!", "invalid", 400),
        ("Basic dXNlcg==", "invalid", 400),
        ("Basic //8=", "invalid", 400),
        ("Bearer ", "invalid", 400),
        ("Digest username=\"u\"", "invalid", 400),
        ("Digest", "invalid", 400),
        ("Negotiate abc", "unsupported", 401),
        ("", "unsupported", 401),
        (&format!("{digest}, qop=auth"), "invalid", 400),
        (&format!("{digest}, qop=auth-int, nc=1, cnonce=\"c\""), "unsupported", 401),
        (&format!("{digest}, algorithm=MD5-sess"), "unsupported", 401),
    ];
    for (value, kind, status) in rows {
        let error = Authorization::parse(value).expect_err(value);
        assert_eq!((error.kind(), error.status().0), (kind, status), "{value}");
    }
    assert!(Authorization::parse(digest).is_ok());
}

#[test]
fn challenges_are_written_and_read() {
    let mut challenge = Challenge::new("head\"wa\\ter, inc", "abc=");
    assert_eq!(challenge.header_value(Scheme::Basic), r#"Basic realm="head\"wa\\ter, inc""#);
    assert_eq!(
        challenge.header_value(Scheme::Digest),
        r#"Digest realm="head\"wa\\ter, inc", nonce="abc=""#,
        "no qop and no algorithm: old clients know neither"
    );
    challenge.algorithm = Algorithm::Sha256;
    (challenge.qop_auth, challenge.stale, challenge.opaque) = (true, true, Some("o".into()));
    let value = challenge.header_value(Scheme::Digest);
    assert_eq!(Challenge::parse_list(&value), [(Scheme::Digest, challenge)]);
    // Two in one header; schemes and algorithms that cannot be answered are skipped.
    let both = "Negotiate, Basic realm=\"a\", Digest realm=\"b\", nonce=\"n\", algorithm=SHA-512-256, NTLM abc==, Digest realm=c,nonce=\"m\",qop=\"auth-int\", Digest realm=d,nonce=m,qop=\"auth-int,auth\"";
    let list = Challenge::parse_list(both);
    let seen: Vec<_> = list.iter().map(|(scheme, challenge)| (*scheme, &*challenge.realm)).collect();
    assert_eq!(seen, [(Scheme::Basic, "a"), (Scheme::Digest, "d")]);
}

/// Whatever is asked, the answer verifies; the strongest challenge is taken.
#[test]
fn an_authenticator_answers_every_challenge() {
    let mut sha = Challenge::new("r", "n2");
    sha.algorithm = Algorithm::Sha256;
    let mut qop = Challenge::new("r", "n3");
    qop.qop_auth = true;
    let basic = Challenge::new("r", "").header_value(Scheme::Basic);
    let digest = Challenge::new("r", "n1").header_value(Scheme::Digest);
    let rows: [(&[&str], &str, &str); 4] = [
        (&[&basic], "", "Basic"),
        (&[&basic, &digest], "n1", "Digest"),
        (&[&sha.header_value(Scheme::Digest), &digest, &basic], "n2", "Digest"),
        (&[&qop.header_value(Scheme::Digest)], "n3", "Digest"),
    ];
    for (values, nonce, scheme) in rows {
        let mut authenticator = Authenticator::new("us\"er", "p:w");
        assert_eq!(authenticator.authorize("PLAY", "*"), None, "nothing before a challenge");
        authenticator.take(values.iter().copied()).unwrap();
        let mut seen = Vec::new();
        for _ in 0..3 {
            let value = authenticator.authorize("PLAY", "rtsp://h/a,b").unwrap();
            assert!(value.starts_with(scheme), "{value}");
            let read = Authorization::parse(&value).unwrap();
            assert!(read.verify("PLAY", nonce, "r", "us\"er", "p:w"), "{value}");
            seen.push(value);
        }
        assert_eq!(nonce == "n3", seen[0] != seen[1], "nc counts where there is one");
        authenticator.take(values.iter().copied()).unwrap();
        assert_eq!(
            authenticator.authorize("PLAY", "rtsp://h/a,b").as_ref(),
            Some(&seen[0]),
            "from the beginning"
        );
    }
    let error = Authenticator::new("u", "p").take(["Negotiate"].into_iter()).expect_err("nothing to answer");
    assert_eq!(error.status().0, 401);
}
