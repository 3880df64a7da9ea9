//! From method and path to a handler.

use super::{Error, Request, Response, gate, gate::Gate, wire};

/// Answers one route.
pub type Handler = fn(&Request) -> Result<Response, Error>;

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Whoever; a token, if there is one, may change what is answered.
    Anyone,
    /// An account that signed in and may act. Its handler asks who that is, which is what refuses everybody else: in which order, since a bad
    /// body is told before a missing token, only the handler knows. An answer of one that did not ask is withheld.
    Account,
}

/// One line of a route table.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// Upper case.
    pub method: &'static str,
    /// The whole path; a segment that begins with `:` is a parameter and matches anything but nothing.
    pub pattern: &'static str,
    /// Who may ask.
    pub access: Access,
    /// What answers it.
    pub handler: Handler,
}

/// A route table: `METHOD "pattern" for WHO => handler`, one line each; `WHO` is `anyone` or `account`, an [`Access`].
///
/// ```
/// use sdk::http::{Error, Request, Response, Router};
///
/// fn get(request: &Request) -> Result<Response, Error> {
///     Response::data(&request.param::<i64>("id")?)
/// }
///
/// const ROUTER: Router = Router::new(&sdk::routes![
///     GET "/api/v1/thing/:id" for anyone => get,
/// ]);
/// ```
///
/// A line that does not say who may ask is no line:
/// ```compile_fail
/// # use sdk::http::{Error, Request, Response, Router};
/// # fn get(_: &Request) -> Result<Response, Error> { Response::data(&1) }
/// const ROUTER: Router = Router::new(&sdk::routes![
///     GET "/api/v1/thing/:id" => get,
/// ]);
/// ```
#[macro_export]
macro_rules! routes {
    ($($method:ident $pattern:literal for $who:ident => $handler:expr),* $(,)?) => {
        [$($crate::http::Route {
            method: stringify!($method),
            pattern: $pattern,
            access: $crate::routes!(@access $who),
            handler: $handler,
        }),*]
    };
    (@access anyone) => { $crate::http::Access::Anyone };
    (@access account) => { $crate::http::Access::Account };
}

/// A module's whole HTTP.
#[derive(Debug, Clone, Copy)]
pub struct Router {
    routes: &'static [Route],
    gate: Gate,
}

impl Router {
    /// From [`routes!`]. No account may act here, whatever its token, unless the router is [`gated`](Self::gated).
    pub const fn new(routes: &'static [Route]) -> Self {
        Self {
            routes,
            gate: gate::closed,
        }
    }

    /// The same for the accounts that the gate lets in: it is asked once for a request whose handler wants to know who calls, and for no
    /// other.
    #[must_use]
    pub const fn gated(self, gate: Gate) -> Self {
        Self { gate, ..self }
    }

    /// The table, for tests and descriptions.
    pub const fn routes(&self) -> &'static [Route] {
        self.routes
    }

    /// Answers a request; whatever a handler returns becomes a response.
    pub fn handle(&self, request: wire::Request) -> wire::Response {
        self.answer(request).map_or_else(Error::into_wire, Response::into_wire)
    }

    fn answer(&self, request: wire::Request) -> Result<Response, Error> {
        let path = request.path.clone();
        let mut matching: Vec<_> = self
            .routes
            .iter()
            .filter_map(|route| Some((route, parameters(route.pattern, &path)?)))
            .collect();
        if matching.is_empty() {
            return Err(Error::bare(404, "not_found", "Not Found"));
        }
        // A literal segment wins over a parameter, from the left, as in any client's idea of a path.
        matching.sort_by_key(|(route, _)| {
            route
                .pattern
                .split('/')
                .map(|part| part.starts_with(':'))
                .collect::<Vec<_>>()
        });
        let allowed: Vec<_> = matching.iter().map(|(route, _)| route.method).collect();
        let found = matching.into_iter().find(|(route, _)| route.method == request.method);
        let Some((route, params)) = found else {
            let error = Error::bare(405, "method_not_allowed", "Method Not Allowed");
            return Err(error.with_header("allow", allowed.join(", ")));
        };
        let request = Request::new(request, params, self.gate);
        let response = (route.handler)(&request)?;
        if route.access == Access::Account && !request.asked_who_calls() {
            let forgot = format!("{} {} answered without asking who calls", route.method, route.pattern);
            return Err(Error::internal(forgot));
        }
        Ok(response)
    }
}

/// The parameters of a path that matches the pattern, still percent-encoded.
fn parameters<'p>(pattern: &'static str, path: &'p str) -> Option<Vec<(&'static str, &'p str)>> {
    let mut wanted = pattern.split('/');
    let mut given = path.split('/');
    let mut parameters = Vec::new();
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(parameters),
            (Some(wanted), Some(given)) => match wanted.strip_prefix(':') {
                Some(name) if !given.is_empty() => parameters.push((name, given)),
                None if wanted == given => {}
                _ => return None,
            },
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Caller, Standing};

    fn one(request: &Request) -> Result<Response, Error> {
        Response::data(&format!("one {}", request.param::<String>("id")?))
    }

    fn mine(_: &Request) -> Result<Response, Error> {
        Response::data(&"mine")
    }

    fn taken(_: &Request) -> Result<Response, Error> {
        Err(Error::conflict("taken", "somebody has it"))
    }

    fn whose(request: &Request) -> Result<Response, Error> {
        Response::data(&request.account()?)
    }

    const ROUTER: Router = Router::new(&crate::routes![
        GET "/api/v1/thing/:id" for anyone => one,
        GET "/api/v1/thing/mine" for anyone => mine,
        POST "/api/v1/thing" for anyone => taken,
        GET "/api/v1/owner" for account => whose,
        GET "/api/v1/secret" for account => mine,
    ]);

    fn anonymous(method: &str, path: &str) -> wire::Request {
        wire::Request {
            method: method.to_owned(),
            path: path.to_owned(),
            query: String::new(),
            headers: Vec::new(),
            identity: wire::Identity::Anonymous,
            peer: String::new(),
            body: Vec::new(),
        }
    }

    fn ask(method: &str, path: &str) -> (u16, String) {
        let response = ROUTER.handle(anonymous(method, path));
        (response.status, String::from_utf8(response.body).unwrap())
    }

    #[test]
    fn a_literal_segment_wins_over_a_parameter() {
        assert_eq!(ask("GET", "/api/v1/thing/mine"), (200, r#"{"data":"mine"}"#.to_owned()));
        assert_eq!(
            ask("GET", "/api/v1/thing/a%20b"),
            (200, r#"{"data":"one a b"}"#.to_owned())
        );
    }

    #[test]
    fn paths_match_exactly() {
        for path in [
            "/api/v1/thing/",
            "/api/v1/thing/a/",
            "/api/v1",
            "/api/v1/thing//",
            "/API/v1/thing/mine",
        ] {
            assert_eq!(ask("GET", path).0, 404, "{path}");
        }
    }

    #[test]
    fn a_known_path_with_another_method_is_a_405() {
        assert_eq!(ask("HEAD", "/api/v1/thing/mine").0, 405);
        assert_eq!(ask("GET", "/api/v1/thing").0, 405);
        assert_eq!(ask("DELETE", "/api/v1/nothing").0, 404);
    }

    #[test]
    fn a_router_without_a_gate_lets_no_account_in() {
        let id = "0190a5b2-7c11-7d3e-8f00-0123456789ab";
        let signed_in = || wire::Request {
            identity: wire::Identity::Verified(wire::Claims {
                subject: id.to_owned(),
                payload: format!(r#"{{"Account":{{"ID":"{id}","Number":1}}}}"#),
            }),
            ..anonymous("GET", "/api/v1/owner")
        };
        assert_eq!(ROUTER.answer(signed_in()).unwrap_err().status(), 500);
        let open = ROUTER.gated(|account_id| {
            Ok(Standing::Active(Caller {
                account_id,
                country: String::new(),
                currency: String::new(),
            }))
        });
        assert_eq!(open.answer(signed_in()).unwrap().status(), 200);
    }

    #[test]
    fn a_handler_that_forgot_to_ask_who_calls_tells_nothing() {
        let error = ROUTER.answer(anonymous("GET", "/api/v1/secret")).unwrap_err();
        assert_eq!((error.status(), error.code()), (500, "internal"));
        assert!(!error.message().contains("mine"), "{}", error.message());
        assert_eq!(ask("GET", "/api/v1/owner").0, 401);
    }

    #[test]
    fn an_error_is_a_response() {
        let (status, body) = ask("POST", "/api/v1/thing");
        assert_eq!(status, 409);
        assert!(body.contains("taken: somebody has it"));
    }
}
