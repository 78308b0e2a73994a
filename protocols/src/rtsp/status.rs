//! Status codes (RFC 2326, section 7.1.1).

/// A status code and, through [`Status::reason`], its phrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Status(pub u16);

impl Status {
    pub const CONTINUE: Status = Status(100);
    pub const OK: Status = Status(200);
    pub const MOVED_PERMANENTLY: Status = Status(301);
    pub const MOVED_TEMPORARILY: Status = Status(302);
    pub const BAD_REQUEST: Status = Status(400);
    pub const UNAUTHORIZED: Status = Status(401);
    pub const FORBIDDEN: Status = Status(403);
    pub const NOT_FOUND: Status = Status(404);
    pub const METHOD_NOT_ALLOWED: Status = Status(405);
    pub const NOT_ACCEPTABLE: Status = Status(406);
    pub const REQUEST_TIMEOUT: Status = Status(408);
    pub const REQUEST_ENTITY_TOO_LARGE: Status = Status(413);
    pub const REQUEST_URI_TOO_LONG: Status = Status(414);
    pub const UNSUPPORTED_MEDIA_TYPE: Status = Status(415);
    pub const PARAMETER_NOT_UNDERSTOOD: Status = Status(451);
    pub const NOT_ENOUGH_BANDWIDTH: Status = Status(453);
    pub const SESSION_NOT_FOUND: Status = Status(454);
    pub const METHOD_NOT_VALID_IN_THIS_STATE: Status = Status(455);
    pub const HEADER_FIELD_NOT_VALID: Status = Status(456);
    pub const INVALID_RANGE: Status = Status(457);
    pub const AGGREGATE_OPERATION_NOT_ALLOWED: Status = Status(459);
    pub const ONLY_AGGREGATE_OPERATION_ALLOWED: Status = Status(460);
    pub const UNSUPPORTED_TRANSPORT: Status = Status(461);
    pub const INTERNAL_SERVER_ERROR: Status = Status(500);
    pub const NOT_IMPLEMENTED: Status = Status(501);
    pub const SERVICE_UNAVAILABLE: Status = Status(503);
    pub const RTSP_VERSION_NOT_SUPPORTED: Status = Status(505);
    pub const OPTION_NOT_SUPPORTED: Status = Status(551);

    /// Whether the code is 2xx.
    pub fn is_success(self) -> bool {
        (200..300).contains(&self.0)
    }

    /// The phrase of RFC 2326; `Unknown` for codes it does not list.
    pub fn reason(self) -> &'static str {
        match self.0 {
            100 => "Continue",
            200 => "OK",
            201 => "Created",
            250 => "Low on Storage Space",
            300 => "Multiple Choices",
            301 => "Moved Permanently",
            302 => "Moved Temporarily",
            303 => "See Other",
            304 => "Not Modified",
            305 => "Use Proxy",
            400 => "Bad Request",
            401 => "Unauthorized",
            402 => "Payment Required",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            406 => "Not Acceptable",
            407 => "Proxy Authentication Required",
            408 => "Request Time-out",
            410 => "Gone",
            411 => "Length Required",
            412 => "Precondition Failed",
            413 => "Request Entity Too Large",
            414 => "Request-URI Too Large",
            415 => "Unsupported Media Type",
            451 => "Parameter Not Understood",
            452 => "Conference Not Found",
            453 => "Not Enough Bandwidth",
            454 => "Session Not Found",
            455 => "Method Not Valid in This State",
            456 => "Header Field Not Valid for Resource",
            457 => "Invalid Range",
            458 => "Parameter Is Read-Only",
            459 => "Aggregate operation not allowed",
            460 => "Only aggregate operation allowed",
            461 => "Unsupported transport",
            462 => "Destination unreachable",
            500 => "Internal Server Error",
            501 => "Not Implemented",
            502 => "Bad Gateway",
            503 => "Service Unavailable",
            504 => "Gateway Time-out",
            505 => "RTSP Version not supported",
            551 => "Option not supported",
            _ => "Unknown",
        }
    }
}
