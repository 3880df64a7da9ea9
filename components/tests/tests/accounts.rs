//! Identity, sign-ins, profiles and contacts: what is refused, and what others may see.

use anyhow::Result;
use component_tests::{ADDRESS, Answer, Audit, Client, Nexus, Person};
use futures_util::future::{join, join_all};
use serde_json::{Value, json};

const REGISTER: &str = "/api/v1/account/auth/register/basic";
const LOGIN: &str = "/api/v1/account/auth/login/basic";
const REFRESH: &str = "/api/v1/account/auth/refresh";
const ME: &str = "/api/v1/account/me";
const CONTACT: &str = "/api/v1/account/contact";
const NOBODYS: &str = "0190a5b2-7c11-7d3e-8f00-0123456789ab";
const PASSWORD: &str = "correct-horse";

fn registration(changes: Value) -> Value {
    let mut body = json!({ "password": PASSWORD, "country": "VN" });
    let fields = changes.as_object().expect("an object").clone();
    body.as_object_mut().expect("an object").extend(fields);
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_registered_once_and_signs_in_with_its_own_password() -> Result<()> {
    let nexus = Nexus::start().await?;
    let nobody = nexus.client();
    for (changes, field) in [
        (json!({ "username": "an", "password": "7 chars" }), "password"),
        (json!({ "username": "an", "password": "x".repeat(73) }), "password"),
        (json!({ "username": "an", "password": null }), "password"),
        (json!({ "username": "an", "password": "Password123" }), "password"),
        (json!({ "username": "an", "country": "VNM" }), "country"),
        (json!({ "username": "an", "country": "" }), "country"),
        (json!({ "username": "an@example.com" }), "username"),
        (json!({ "username": "+84901234567" }), "username"),
        (json!({ "username": "x".repeat(101) }), "username"),
        (json!({ "username": 7 }), "username"),
        (json!({ "email": "nobody" }), "email"),
        (json!({ "phone": "0901234567" }), "phone"),
    ] {
        nobody.post(REGISTER, registration(changes)).await?.names(field);
    }
    nobody
        .post(REGISTER, registration(json!({})))
        .await?
        .failed(400, "missing_identifier");
    nobody
        .post(REGISTER, registration(json!({ "username": " " })))
        .await?
        .failed(400, "missing_identifier");
    for country in ["ZZ", "AQ"] {
        let nowhere = registration(json!({ "username": "an", "country": country }));
        nobody.post(REGISTER, nowhere).await?.failed(400, "invalid_country");
    }

    let whole = json!({ "username": "an", "email": "An@Example.com", "phone": "+84901234567", "country": "vn" });
    let first = nobody.post(REGISTER, registration(whole)).await?;
    assert_eq!(first.headers["cache-control"], "no-store");
    let me = nobody.signed_in(&first.text(201, "access_token")).get(ME).await?;
    assert_eq!(
        (&me.data(200)["country"], &me.data(200)["currency"]),
        (&json!("VN"), &json!("VND"))
    );
    for (taken, code) in [
        (json!({ "username": "an" }), "conflict_username"),
        (json!({ "email": " an@EXAMPLE.com " }), "conflict_email"),
        (json!({ "phone": "+84901234567" }), "conflict_phone"),
    ] {
        nobody.post(REGISTER, registration(taken)).await?.failed(409, code);
    }
    // Of several at once one gets the name.
    let same = registration(json!({ "username": "popular" }));
    let answers = join_all((0..4).map(|_| nobody.post(REGISTER, same.clone()))).await;
    let answers: Vec<Answer> = answers.into_iter().collect::<Result<_>>()?;
    let (made, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 201);
    assert_eq!(made.len(), 1, "{answers:?}");
    refused.iter().for_each(|answer| {
        answer.failed(409, "conflict_username");
    });

    let login = |id: &str, password: &str| json!({ "id": id, "password": password });
    for id in ["an", "AN@example.com", "+84901234567", " an "] {
        nobody.post(LOGIN, login(id, PASSWORD)).await?.data(200);
    }
    // A short password is a wrong one: the rules for passwords are not told here.
    for wrong in ["x", "wrong-horse", "CORRECT-HORSE"] {
        nobody
            .post(LOGIN, login("an", wrong))
            .await?
            .failed(401, "invalid_credentials");
    }
    nobody
        .post(LOGIN, login("nobody", PASSWORD))
        .await?
        .failed(404, "account_not_found");
    nobody.post(LOGIN, login("", PASSWORD)).await?.names("id");
    nobody.post(LOGIN, login("an", "")).await?.names("password");

    // Who has no password signs in with none, the one that there was included.
    let audit = Audit::open(nexus.database_url()).await?;
    nobody.post(LOGIN, login("popular", PASSWORD)).await?.data(200);
    let without = "UPDATE account.account SET password_hash = NULL WHERE username = 'popular'";
    assert_eq!(audit.change(without).await?, 1);
    for password in [PASSWORD, "x", "null"] {
        nobody
            .post(LOGIN, login("popular", password))
            .await?
            .failed(401, "invalid_credentials");
    }
    nobody.post(LOGIN, login("popular", "")).await?.names("password");

    audit
        .change("UPDATE account.account SET status = 'Suspended' WHERE username = 'an'")
        .await?;
    nobody
        .post(LOGIN, login("an", PASSWORD))
        .await?
        .failed(403, "account_suspended");
    nobody
        .post(LOGIN, login("an", "wrong-horse"))
        .await?
        .failed(401, "invalid_credentials");
    let refresh = json!({ "refresh_token": first.text(201, "refresh_token") });
    nobody.post(REFRESH, refresh).await?.failed(403, "account_suspended");
    let suspended = nobody.signed_in(&first.text(201, "access_token"));
    suspended.get(ME).await?.failed(403, "account_suspended");
    suspended
        .patch(ME, json!({ "status": "Active" }))
        .await?
        .failed(403, "account_suspended");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_is_good_once_and_its_theft_ends_the_sign_in() -> Result<()> {
    let nexus = Nexus::start().await?;
    let nobody = nexus.client();
    let audit = Audit::open(nexus.database_url()).await?;
    let renew = async |token: &str| nobody.post(REFRESH, json!({ "refresh_token": token })).await;

    let first = nobody
        .post(REGISTER, registration(json!({ "username": "linh" })))
        .await?;
    let (access, stolen) = (first.text(201, "access_token"), first.text(201, "refresh_token"));
    renew(&access).await?.failed(401, "unauthorized");
    renew("garbage").await?.failed(401, "unauthorized");
    renew("").await?.names("refresh_token");
    nobody.signed_in(&stolen).get(ME).await?.failed(401, "unauthorized");

    let second = renew(&stolen).await?;
    let newest = second.text(200, "refresh_token");
    assert_ne!(newest, stolen);
    nobody
        .signed_in(&second.text(200, "access_token"))
        .get(ME)
        .await?
        .data(200);
    // A client whose answer was lost asks again at once.
    renew(&stolen).await?.data(200);

    let other = nobody
        .post(LOGIN, json!({ "id": "linh", "password": PASSWORD }))
        .await?;
    let used =
        "UPDATE account.refresh_token SET date_used = date_used - interval '1 minute' WHERE date_used IS NOT NULL";
    assert_eq!(audit.change(used).await?, 1);
    renew(&stolen).await?.failed(401, "unauthorized");
    renew(&newest).await?.failed(401, "unauthorized");
    let kept = renew(&other.text(200, "refresh_token")).await?;
    kept.data(200);

    let expired = "UPDATE account.refresh_token SET date_expires = now() - interval '1 second'";
    audit.change(expired).await?;
    renew(&kept.text(200, "refresh_token"))
        .await?
        .failed(401, "unauthorized");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_suspended_signs_in_anew_once_he_may() -> Result<()> {
    let nexus = Nexus::start().await?;
    let nobody = nexus.client();
    let audit = Audit::open(nexus.database_url()).await?;
    let renew = async |token: &str| nobody.post(REFRESH, json!({ "refresh_token": token })).await;
    let sign_in = async || nobody.post(LOGIN, json!({ "id": "linh", "password": PASSWORD })).await;
    let stands = async |status: &str| {
        let change = format!("UPDATE account.account SET status = '{status}' WHERE username = 'linh'");
        audit.change(&change).await
    };
    const GOOD: &str = "SELECT count(*) FROM account.refresh_family WHERE date_revoked IS NULL";

    let other = Person::sign_up(&nobody, "other", "VN").await?;
    let registered = nobody
        .post(REGISTER, registration(json!({ "username": "linh" })))
        .await?
        .text(201, "refresh_token");
    let first = sign_in().await?.text(200, "refresh_token");
    let second = renew(&first).await?.text(200, "refresh_token");
    assert_eq!(audit.count(GOOD).await?, 3);
    // Nobody uses them meanwhile: they are over all the same, and nobody else's are.
    assert_eq!(stands("Suspended").await?, 1);
    assert_eq!(audit.count(GOOD).await?, 1);
    stands("Active").await?;
    for token in [&registered, &first, &second] {
        renew(token).await?.failed(401, "unauthorized");
    }
    other.client.get(ME).await?.data(200);

    // A sign-in that committed beside the suspension was not there to be revoked: any use of it ends it, that of an old token too.
    let old = sign_in().await?.text(200, "refresh_token");
    let newest = renew(&old).await?.text(200, "refresh_token");
    let another = sign_in().await?.text(200, "refresh_token");
    let used =
        "UPDATE account.refresh_token SET date_used = date_used - interval '1 minute' WHERE date_used IS NOT NULL";
    audit.change(used).await?;
    stands("Suspended").await?;
    let begun = "UPDATE account.refresh_family SET date_revoked = NULL WHERE date_revoked > now() - interval '1 minute'
                 AND id IN (SELECT id FROM account.refresh_family ORDER BY date_created DESC, id DESC LIMIT 2)";
    assert_eq!(audit.change(begun).await?, 2);
    for token in [&old, &another] {
        renew(token).await?.failed(403, "account_suspended");
    }
    assert_eq!(audit.count(GOOD).await?, 1);
    stands("Active").await?;
    for token in [&old, &newest, &another] {
        renew(token).await?.failed(401, "unauthorized");
    }
    renew(&sign_in().await?.text(200, "refresh_token")).await?.data(200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_was_hashed_elsewhere_signs_in_and_is_hashed_anew() -> Result<()> {
    let nexus = Nexus::start().await?;
    let nobody = nexus.client();
    Person::sign_up(&nobody, "an", "VN").await?;
    let audit = Audit::open(nexus.database_url()).await?;
    // The password's, by bcrypt.
    let taken_over = "$2b$10$CCCCCCCCCCCCCCCCCCCCC.S7928reclsQfyvamwpuNy0EHrXhA0r6";
    let change = format!("UPDATE account.account SET password_hash = '{taken_over}' WHERE username = 'an'");
    assert_eq!(audit.change(&change).await?, 1);
    let kept = format!("SELECT count(*) FROM account.account WHERE password_hash = '{taken_over}'");
    let login = |password: &str| json!({ "id": "an", "password": password });
    let wrong = nobody.post(LOGIN, login("wrong-horse")).await?;
    wrong.failed(401, "invalid_credentials");
    assert_eq!(audit.count(&kept).await?, 1);
    nobody.post(LOGIN, login(PASSWORD)).await?.data(200);
    let renewed = "SELECT count(*) FROM account.account WHERE password_hash LIKE '$argon2id$%'";
    assert_eq!((audit.count(&kept).await?, audit.count(renewed).await?), (0, 1));
    nobody.post(LOGIN, login(PASSWORD)).await?.data(200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_first_contacts_at_once_one_is_the_default() -> Result<()> {
    let nexus = Nexus::start().await?;
    let me = Person::sign_up(&nexus.client(), "an", "VN").await?.client;
    let clients: Vec<Client> = (0..4).map(|_| me.anew()).collect();
    let added = join_all(clients.iter().map(|client| add(client, ADDRESS))).await;
    let added: Vec<Value> = added
        .into_iter()
        .map(|answer| Ok(answer?.data(200)["id"].clone()))
        .collect::<Result<_>>()?;
    let default = default_contact(&me).await?;
    assert!(added.contains(&default), "{default} is none of {added:?}");
    let listed = me.get(CONTACT).await?;
    assert_eq!(listed.data(200).as_array().map(Vec::len), Some(4));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_is_its_owners_and_shows_others_what_is_public() -> Result<()> {
    let nexus = Nexus::start().await?;
    let me = Person::register(&nexus.client(), "linh").await?;
    let other = Person::register(&nexus.client(), "other").await?;
    let mine = &me.client;

    for (body, field) in [
        (json!({ "username": "ab" }), "username"),
        (json!({ "username": "with space" }), "username"),
        (json!({ "phone": "12345" }), "phone"),
        (json!({ "email": "nobody" }), "email"),
        (json!({ "gender": "male" }), "gender"),
        (json!({ "status": "Root" }), "status"),
        (json!({ "name": "x".repeat(101) }), "name"),
        (json!({ "description": "x".repeat(501) }), "description"),
        (json!({ "date_of_birth": "yesterday" }), "date_of_birth"),
    ] {
        mine.patch(ME, body).await?.names(field);
    }
    let before = mine.get(ME).await?.data(200).clone();
    let change = json!({
        "email": "Linh@example.com", "phone": "+84987654321", "gender": "Female", "name": "Linh",
        "date_of_birth": "1990-02-03T00:00:00Z", "description": "Pots and pans", "status": "Suspended",
    });
    let after = mine.patch(ME, change).await?.data(200).clone();
    assert_eq!(
        (&after["email"], &after["name"]),
        (&json!("Linh@example.com"), &json!("Linh"))
    );
    assert_eq!(after["status"], "Active", "only an operator suspends");
    assert_eq!(
        (&after["username"], &after["country"]),
        (&before["username"], &before["country"]),
        "not given, not changed"
    );
    assert_ne!(after["date_updated"], before["date_updated"]);
    // Empty means unchanged where nothing cannot be.
    let empty = mine
        .patch(
            ME,
            json!({ "email": "", "gender": "", "username": "", "description": null }),
        )
        .await?;
    assert_eq!(empty.data(200), &after);
    let cleared = mine.patch(ME, json!({ "description": "" })).await?;
    assert_eq!(
        (&cleared.data(200)["description"], &cleared.data(200)["name"]),
        (&json!(""), &json!("Linh"))
    );

    for (taken, code) in [
        (json!({ "username": "linh" }), "conflict_username"),
        (json!({ "email": "LINH@example.com" }), "conflict_email"),
        (json!({ "phone": "+84987654321" }), "conflict_phone"),
    ] {
        other.client.patch(ME, taken).await?.failed(409, code);
    }
    let avatar = json!({ "avatar_rs_id": NOBODYS, "name": "With a face" });
    mine.patch(ME, avatar).await?.failed(404, "resource_not_found");
    let foreign = json!({ "default_contact_id": after["default_contact_id"] });
    other.client.patch(ME, foreign).await?.failed(404, "contact_not_found");

    let profile = format!("/api/v1/account?account_id={}", me.id);
    let own = mine.get(&profile).await?;
    assert_eq!(own.data(200)["email"], "Linh@example.com");
    let seen = other.client.get(&profile).await?.data(200).clone();
    for key in ["email", "phone", "date_of_birth", "default_contact_id"] {
        assert_eq!(seen.get(key), Some(&Value::Null), "{key} is there and says nothing");
        assert_ne!(after[key], Value::Null);
    }
    for key in ["id", "name", "gender", "country", "currency", "username"] {
        assert_eq!(seen[key], after[key], "{key} is public");
    }
    assert!(
        !seen.to_string().contains("linh@") && !seen.to_string().contains("+849"),
        "{seen}"
    );
    nexus.client().get(&profile).await?.failed(401, "unauthorized");
    let unknown = format!("/api/v1/account?account_id={NOBODYS}");
    other.client.get(&unknown).await?.failed(404, "account_not_found");
    other.client.get("/api/v1/account").await?.names("account_id");
    for id in ["linh", "00000000-0000-0000-0000-000000000000"] {
        let nobody = format!("/api/v1/account?account_id={id}");
        other.client.get(&nobody).await?.names("account_id");
    }
    Ok(())
}

async fn add(client: &Client, address: &str) -> Result<Answer> {
    let contact = json!({ "full_name": "Linh", "phone": "0912", "address": address, "address_type": "Work" });
    client.post(CONTACT, contact).await
}

async fn default_contact(client: &Client) -> Result<Value> {
    Ok(client.get(ME).await?.data(200)["default_contact_id"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn contacts_lie_in_the_owners_country_and_the_last_one_stays() -> Result<()> {
    let nexus = Nexus::start().await?;
    let me = Person::sign_up(&nexus.client(), "linh", "VN").await?;
    let other = Person::register(&nexus.client(), "other").await?;
    let mine = &me.client;
    assert_eq!(mine.get(CONTACT).await?.data(200), &json!([]));

    let empty = mine.post(CONTACT, json!({})).await?;
    ["full_name", "phone", "address", "address_type"]
        .iter()
        .for_each(|field| empty.names(field));
    let castle = json!({ "full_name": "L", "phone": "1", "address": ADDRESS, "address_type": "Castle" });
    mine.post(CONTACT, castle).await?.names("address_type");
    for (field, most) in [("full_name", 100), ("phone", 30), ("address", 255)] {
        let mut body =
            json!({ "full_name": "L", "phone": "1", "address": ADDRESS, "address_type": "Home", "contact_id": me.id });
        body[field] = "9".repeat(most + 1).into();
        other.client.post(CONTACT, body.clone()).await?.names(field);
        other.client.patch(CONTACT, body).await?.names(field);
    }
    let abroad = add(mine, "350 Fifth Avenue, New York, USA").await?;
    let told = abroad.failed(400, "address_country_mismatch")["message"].to_string();
    assert!(told.contains("address resolves to US, profile country is VN"), "{told}");
    add(mine, "somewhere over the rainbow")
        .await?
        .failed(400, "address_country_unresolved");
    add(mine, "   ").await?.failed(400, "empty_address");
    assert_eq!(default_contact(mine).await?, Value::Null, "nothing of it was kept");

    let first = add(mine, ADDRESS).await?.data(200).clone();
    assert_ne!(
        (first["latitude"].as_f64(), first["longitude"].as_f64()),
        (Some(0.0), Some(0.0))
    );
    assert_eq!(
        default_contact(mine).await?,
        first["id"],
        "the first one is the default"
    );
    let second = add(mine, "1 Le Loi, Hue, Vietnam").await?.data(200).clone();
    let third = add(mine, "2 Le Loi, Hue, Vietnam").await?.data(200).clone();
    assert_eq!(default_contact(mine).await?, first["id"]);

    // A contact of somebody else is not there at all.
    let path = format!("{CONTACT}/{}", first["id"].as_str().unwrap_or_default());
    assert_eq!(mine.get(&path).await?.data(200), &first);
    other.client.get(&path).await?.failed(404, "contact_not_found");
    let edit = json!({ "contact_id": first["id"], "phone": "666", "phone_verified": true });
    other
        .client
        .patch(CONTACT, edit.clone())
        .await?
        .failed(404, "contact_not_found");
    let remove = |contact: &Value| Some(json!({ "contact_id": contact["id"] }));
    other
        .client
        .delete(CONTACT, remove(&first))
        .await?
        .failed(404, "contact_not_found");
    other.client.delete(CONTACT, None).await?.names("contact_id");

    let edited = mine.patch(CONTACT, edit).await?.data(200).clone();
    assert_eq!(
        (&edited["phone"], &edited["phone_verified"]),
        (&json!("666"), &json!(false))
    );
    for key in ["full_name", "address", "address_type", "date_created", "latitude"] {
        assert_eq!(edited[key], first[key], "{key} was not given");
    }
    let moved = json!({ "contact_id": first["id"], "address": "350 Fifth Avenue, New York, USA" });
    mine.patch(CONTACT, moved)
        .await?
        .failed(400, "address_country_mismatch");

    // When the default goes, the newest of the others takes its place.
    mine.delete(CONTACT, remove(&first)).await?.data(200);
    assert_eq!(default_contact(mine).await?, third["id"]);
    let chosen = json!({ "default_contact_id": second["id"] });
    assert_eq!(
        mine.patch(ME, chosen).await?.data(200)["default_contact_id"],
        second["id"]
    );
    mine.delete(CONTACT, remove(&first))
        .await?
        .failed(404, "contact_not_found");

    let (one, two) = join(
        mine.delete(CONTACT, remove(&second)),
        mine.delete(CONTACT, remove(&third)),
    )
    .await;
    let (one, two) = (one?, two?);
    let (kept, refused) = if one.status == 200 {
        (&third, &two)
    } else {
        (&second, &one)
    };
    refused.failed(409, "cannot_delete_last_contact");
    let left = mine.get(CONTACT).await?;
    assert_eq!(
        (left.data(200).as_array().map(Vec::len), &left.data(200)[0]["id"]),
        (Some(1), &kept["id"])
    );
    assert_eq!(default_contact(mine).await?, kept["id"]);
    mine.delete(CONTACT, remove(kept))
        .await?
        .failed(409, "cannot_delete_last_contact");

    let audit = Audit::open(nexus.database_url()).await?;
    audit.settled().await?;
    audit.books_hold().await
}
