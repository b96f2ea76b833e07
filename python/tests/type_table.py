"""The types of PostgreSQL and values at their edges: what test_round_trip.py sends round.

`SETUP` makes the types that are not built in; the extensions are PostgreSQL's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

# An emoji, a combining mark, and all that JSON, arrays, composites and SQL have to escape.
STRANGE = "\U0001f600 e\u0301 \" ' \\ / {},() \x01 \x7f \u2028 \n\t"
E = "'" + STRANGE.replace("'", "''") + "'"
UUID = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"


def base_type(name: str, send: str = "") -> Iterator[str]:
    """Makes a type whose values are text."""
    yield f"CREATE TYPE {name}"
    functions = {"input": ("cstring", name, "textin"), "output": (name, "cstring", "textout")}
    if send:
        functions["send"] = (name, "bytea", send)
    for role, (given, returned, code) in functions.items():
        yield (
            f"CREATE FUNCTION {name}_{role}({given}) RETURNS {returned}"
            f" LANGUAGE internal IMMUTABLE STRICT AS '{code}'"
        )
    roles = ", ".join(f"{role} = {name}_{role}" for role in functions)
    yield f"CREATE TYPE {name} ({roles}, LIKE = text)"


EXTENSIONS = ("cube", "citext", "hstore", "intarray", "isn", "lo", "ltree", "seg")

SETUP = (
    *(f"CREATE EXTENSION {name}" for name in EXTENSIONS),
    """CREATE TYPE mood AS ENUM ('sad', 'happy', 'so "so"', 'a,b{}', 'ü', 'null')""",
    "CREATE DOMAIN price AS numeric(10,2) CHECK (VALUE >= 0)",
    "CREATE DOMAIN dear AS price",
    "CREATE DOMAIN feeling AS mood",
    "CREATE DOMAIN tags AS text[]",
    "CREATE DOMAIN document AS json",
    "CREATE TABLE station (id int, gone int, name text)",
    "ALTER TABLE station DROP gone",
    'CREATE TYPE pair AS (a int4, "b ""c" text)',
    "CREATE DOMAIN sure AS pair CHECK ((VALUE).a > 0)",
    "CREATE TYPE nothing AS ()",
    "CREATE TYPE alone AS (word text)",
    """CREATE TYPE bundle AS (
        n numeric, b bytea, f float8, gone int4, j json, t timestamptz, p pair, ps pair[],
        ns numeric[], m mood, s sure, d dear, ts tags, h hstore, r int4range, i interval)""",
    "ALTER TYPE bundle DROP ATTRIBUTE gone",
    "CREATE TYPE floatrange AS RANGE (subtype = float8)",
    "CREATE TYPE moodrange AS RANGE (subtype = mood)",
    # An extension's type that nobody knows.
    *base_type("opaque", send="textsend"),
    # pgvector, which this server has not: types of its names that keep the text they are given,
    # which is to be what pgvector would print, and have no binary form, so are sent as text.
    *base_type("vector"),
    *base_type("halfvec"),
    *base_type("sparsevec"),
)


@dataclass(frozen=True)
class Case:
    """A type, and SQL expressions for values of it. Each is also tried as NULL.

    of: what the README's table calls it, where that is not the type's own name.
    """

    kind: str
    values: tuple[str, ...]
    of: str


class Sql(str):
    """An expression; other strings are text for the type's input function."""

    __slots__ = ()


def case(kind: str, *values: str, of: str = "") -> Case:
    return Case(kind, tuple(map(expression, values)), of)


def expression(value: str) -> str:
    return value if isinstance(value, Sql) else "'" + value.replace("'", "''") + "'"


NUMERICS = (
    "0",
    "0.00",
    "-1.50",
    "100",
    "1e-20",
    "12345678901234567890.123456789012345678900",
    "NaN",
    "Infinity",
    "-Infinity",
)
TIMESTAMPS = (
    "2024-02-29 12:34:56",
    "2024-02-29 12:34:56.789012",
    "2024-02-29 12:34:56.7",
    "1969-12-31 23:59:59.999999",
    "0001-01-01 00:00:00",
    "0044-03-15 12:00:00 BC",
    "0001-12-31 23:59:59.999999 BC",
    "4714-11-24 00:00:00 BC",
    "10000-01-01 00:00:00",
    "294276-12-31 23:59:59.999999",
    "infinity",
    "-infinity",
)
INTERVALS = (
    "0",
    "1 year 2 mons 3 days 04:05:06.789012",
    "-1 year -2 mons -3 days -04:05:06.789012",
    "1 year -3 days 04:00:00",
    "-1 mon 2 days -00:00:00.000001",
    "1 day -1 hour",
    "30 days",
    "1 mon",
    "24:00:00",
    "1000000:00:00",
    "00:00:00.1",
    "178956970 years 7 mons 2147483647 days 2562047788:00:54.775806",
    "-178956970 years -8 mons -2147483648 days -2562047788:00:54.775807",
    "infinity",
    "-infinity",
)
JSONS = (
    "{}",
    "[]",
    "null",
    "true",
    '"text"',
    "0",
    "-0",
    "1.10",
    "1e400",
    "-1E-400",
    "0.1000000000000000055511151231257827",
    "12345678901234567890123",
    '{"a": {"b": [1, 2.50, null, {"c": "\\u00fc"}]}}',
    '{"n": ' + "123456789" * 40 + "." + "5" * 40 + "}",
    '"\\ud83d\\ude00 \\" \\\\ \\/ \\b\\f\\n\\r\\t \\u0001"',
    '{"": 1, " ": 2, "ü": 3}',
    "[" * 500 + "]" * 500,
    '[{"n": ' + "7" * 5000 + '}, "x"]',
    Sql(f"to_json({E}::text)"),
)

BUNDLE = Sql(
    r"""ROW(1.50, '\x00ff', 'NaN', '{"a":1, "a":2}', '0044-03-15 12:00:00+00 BC', (1, {E}),"""
    r""" ARRAY[(2, 'x y'), NULL, (NULL, '')]::pair[], '[0:1]={1.0,NaN}', 'so "so"', (3, NULL),"""
    r""" 7, ARRAY['a,b', NULL, ''], '"k"=>"v", "n"=>NULL', '[1,5)', '-1 day')::bundle""".replace(
        "{E}", E
    )
)

CASES = (
    case("bool", "true", "false"),
    case("int2", "-32768", "0", "32767"),
    case("int4", "-2147483648", "-1", "2147483647"),
    case("int8", "-9223372036854775808", "9007199254740993", "9223372036854775807"),
    case("oid", "0", "4294967295"),
    case(
        "float4",
        *("0", "-0", "1.1", "-1e-45", "3.4028235e38", "16777216", "1e10"),
        *("NaN", "Infinity", "-Infinity"),
    ),
    case(
        "float8",
        *("0", "-0", "0.1", "1", "5e-324", "1.7976931348623157e308", "1e22", "123456789012345680"),
        *("9007199254740993", "NaN", "Infinity", "-Infinity"),
    ),
    case("numeric", *NUMERICS),
    case(
        "numeric",
        "9" * 131072,
        "-0." + "0" * 16382 + "1",
        "12345678" * 16384 + "." + "0" * 16383,
    ),
    case("numeric(10,2)", "1.5", "-99999999.99", "0", "NaN"),
    case("numeric(5,-2)", "12345", "-9999900"),
    case("numeric(3,5)", "0.00123"),
    case("money", "0", "-12.34", "92233720368547758.07"),
    case("text", "", "plain", "NULL", "[0:1]={1,2}", STRANGE),
    case("varchar(40)", "", "abc ", STRANGE),
    case("char(9)", "", "ab", "ü"),
    case("bpchar", "ab  "),
    case("name", "", "Ta ble", "ü"),
    case('"char"', "a", "", r"\200", r"\377", "\\"),
    case("citext", "MiXed", STRANGE),
    case("xml", '<a b="1">&amp;<!-- c --><![CDATA[ ]]>\n</a>', '<?xml version="1.1"?><a/>'),
    case("uuid", UUID, "00000000-0000-0000-0000-000000000000"),
    case("bytea", r"\x", r"\x00", r"\x00ff10", r"\x5c5c27", r"\x" + "00ff" * 5000),
    case(
        "json",
        *JSONS,
        ' { "b" : 1 ,\t"a":2,  "b":\n[ ]\r\n} ',
        '{"a": 1, "a": "2", "a": null}',
        " null\n",
        '"\\u0000"',
        '"\\ud800 alone"',
        '{"\\udc00": [1.0, "\\ud800"], "n": 12345678901234567890.10}',
    ),
    case("jsonb", *JSONS),
    case("jsonpath", "$", '$.a[*] ? (@.b > 1.50 && @.c like_regex "^x\\"")', "strict $.**{2 to 3}"),
    case("date", *(text[:11].strip() + (" BC" if "BC" in text else "") for text in TIMESTAMPS)),
    case("date", "5874897-12-31", "4713-01-01 BC"),
    case("time", "00:00:00", "12:34:56", "12:34:56.789012", "23:59:59.999999", "24:00:00"),
    case("time(3)", "12:34:56.789"),
    case(
        "timetz",
        *("00:00:00+00", "12:34:56.7+02", "12:34:56.789012-07:30", "24:00:00-15:59:59"),
        "12:00:00+00:19:32",
    ),
    case("timestamp", *TIMESTAMPS),
    case("timestamp(0)", "2024-02-29 12:34:56"),
    case("timestamptz", *(text.replace(" BC", "+00 BC") for text in TIMESTAMPS[:-2])),
    case("timestamptz", "infinity", "-infinity", "2024-02-29 12:34:56.7+05:45"),
    case("timestamptz(3)", "2024-02-29 12:34:56.789-08"),
    case("interval", *INTERVALS),
    case("interval day to second(3)", "1 day 00:00:01.234"),
    case("bit(1)", "0", "1"),
    case("bit(5)", "00000", "00101"),
    case("bit(70)", "0" * 35 + "10" * 17 + "1"),
    case("varbit", "", "0", "0000000000000001"),
    case("inet", "192.0.2.1", "192.0.2.1/24", "::1", "2001:db8::ff00:42:8329/64"),
    case("cidr", "192.0.2.0/24", "10.0.0.0/8", "2001:db8::/32"),
    case("macaddr", "08:00:2b:01:02:03"),
    case("macaddr8", "08:00:2b:01:02:03:04:05"),
    case("point", "(1.5,-2)", "(NaN,Infinity)", "(-0,1e-300)"),
    case("line", "{1,-2,3.5}"),
    case("lseg", "[(0,0),(1.1,-1e20)]"),
    case("box", "(2,2),(0,0)", "(Infinity,NaN),(0,0)"),
    case("path", "[(0,0),(1,1),(2,0)]", "((0,0),(1,1))"),
    case("polygon", "((0,0),(1,1),(2,0))"),
    case("circle", "<(0,0),1.5>", "<(NaN,1),Infinity>"),
    case("int4range", "empty", "[1,10)", "(,5)", "[5,)", "(,)"),
    case("int8range", "[-9223372036854775808,9223372036854775807)"),
    case("numrange", "[1.50,2.00]", "(,NaN)", "(-Infinity,0.0)"),
    case("tsrange", "[2024-01-01 00:00:00.5,infinity)", "[4714-11-24 00:00:00 BC,)"),
    case("tstzrange", "[2024-01-01 00:00:00+02,2024-01-02 00:00:00+00]", "(,infinity]"),
    case("daterange", "[2024-01-01,2024-12-31]", "[-infinity,0044-03-15 BC)"),
    case("int4multirange", "{}", "{[1,3),[5,7),[9,)}"),
    case("int8multirange", "{(,1),[5,7)}"),
    case("nummultirange", "{[1.0,2.50],(3,)}"),
    case("tsmultirange", '{["2024-01-01 00:00:00","2024-01-02 00:00:00"]}'),
    case("tstzmultirange", '{["2024-01-01 00:00:00+00","2024-01-02 00:00:00+00"]}'),
    case("datemultirange", "{[2024-01-01,2024-02-01),[2025-01-01,)}"),
    case("floatrange", "[0.1,NaN]", "(-Infinity,5e-324)", of="range"),
    case("moodrange", '[happy,"a,b{}"]', of="range"),
    case("floatmultirange", "{[0.1,0.2),(3,)}", of="multirange"),
    case("tsvector", "", "a:1A,2B 'b c' 'd''e':3", "simple"),
    case("tsquery", "", "a & !b <-> ('c d':*A | e)"),
    case("pg_lsn", "0/0", "16/B374D848", "FFFFFFFF/FFFFFFFF"),
    case("xid", "0", "4294967295"),
    case("xid8", "0", "18446744073709551615"),
    case("cid", "0", "4294967295"),
    case("tid", "(0,0)", "(4294967295,65535)"),
    case("pg_snapshot", "10:20:10,14,15", "1:1:"),
    case("txid_snapshot", "10:20:10,14,15"),
    case("regclass", "pg_type", "-"),
    case("regproc", "now", "-"),
    case("regprocedure", "sum(int4)", "-"),
    case("regoper", "||/", "0"),
    case("regoperator", "+(int4,int4)", "0"),
    case("regtype", "numeric", "timestamp with time zone[]", "-"),
    case("regnamespace", "pg_catalog", "-"),
    case("regrole", "postgres", "-"),
    case("regconfig", "english"),
    case("regdictionary", "simple"),
    case("regcollation", '"C"'),
    case("refcursor", "cursor 1", ""),
    case("aclitem", "postgres=arw*/postgres"),
    case("int2vector", "", "1 -2 3"),
    case("oidvector", "", "1 4294967295"),
    case("mood", "sad", 'so "so"', "a,b{}", "ü", "null", of="enum"),
    case("price", "1.50", of="domain"),
    case("dear", "0.00", of="domain"),
    case("feeling", "a,b{}", of="domain"),
    case("tags", "{}", '{"a,b",NULL,""}', "[0:1]={a,b}", of="domain"),
    case("sure", "(1,x)", of="domain"),
    case("document", '{"a": 1,\n"a": 2}', "null", "1.10", of="domain"),
    case("information_schema.sql_identifier", "a b", of="domain"),
    case("pair", "(,)", Sql(f"ROW(-1, {E})"), '(,"")', "(1,null)", of="composite"),
    case("station", "(1,x)", of="composite"),
    case("nothing", "()", of="composite"),
    case("alone", "()", '("")', '("(a)")', of="composite"),
    case("bundle", BUNDLE, "(,,,,,,,,,,,,,,)", of="composite"),
    case("hstore", "", "a=>1", r'"a b"=>"c\"d", n=>NULL, "N"=>"NULL", ""=>""'),
    case("ltree", "", "Top.Science.Astronomy"),
    case("lquery", "Top.*{1,2}.!a|b@*"),
    case("ltxtquery", "Europe & Russia*@ & !Transportation"),
    case("cube", "(1)", "(1,2),(3,4.5)", "(1e-10,-Infinity,NaN)"),
    case("seg", "1.50", "1 .. 2.0", "~6.50", "<0.3", "5.0(+-)0.3"),
    case("ean13", "978-0-393-04002-9"),
    case("isbn", "978-0-393-04002-9", "0-393-04002-X"),
    case("ismn", "979-0-2600-0043-8"),
    case("issn", "1436-4522"),
    case("upc", "036000291452"),
    case("query_int", "1&(2|!3)"),
    case("lo", "0", "4294967295", of="domain"),
    case("opaque", "", "(ü \\", of="other extensions' types"),
    case("vector", "[1,2.5,-3]", "[1e-05]"),
    case("halfvec", "[1,0.5]"),
    case("sparsevec", "{1:1,3:2.5}/5"),
    # Arrays: each in its own way must keep NULL, dimensions and lower bounds.
    case("int4[]", "{}", "{1,NULL,-3}", "{{1,2},{3,NULL}}", "{{{{{{7}}}}}}", of="array"),
    case("int4[]", "[0:2]={1,2,3}", "[-1:0][2:3]={{1,2},{3,NULL}}", of="array"),
    case("bool[]", "{t,f,NULL}", "[5:5]={t}", of="array"),
    case("int8[]", "{9223372036854775807}", of="array"),
    case("float8[]", "{0.1,-0,NaN,Infinity,NULL}", "[2:3]={1,NaN}", of="array"),
    case(
        "numeric[]",
        "{1.50,NaN,-Infinity,NULL}",
        "[0:0]={1.00}",
        "{{1.0},{NaN}}",
        "{1," + "3" * 5000 + ",NULL}",
        of="array",
    ),
    case("money[]", '{"$1,234.50"}', of="array"),
    case("text[]", "{NULL}", Sql(f"ARRAY[{E}, 'NULL', 'null', '', ' ', '{{}}', NULL]"), of="array"),
    case("text[]", Sql(f"ARRAY[['a', {E}], [NULL, 'c']]"), "[0:0]={x}", of="array"),
    case("varchar(9)[]", "{a,b}", of="array"),
    case("name[]", "{a,b c}", of="array"),
    case('"char"[]', r'{a,"\\200",NULL}', of="array"),
    case("bytea[]", r'{"\\x00ff",NULL,"\\x"}', r'[0:0]={"\\x00"}', of="array"),
    case("uuid[]", f"{{{UUID},NULL}}", of="array"),
    case(
        "json[]",
        Sql(
            """ARRAY['{"a": 1,  "a":2}', ' null ', NULL, '[1, [2]]', '1.10', '"\\ud800"']::json[]"""
        ),
        '[0:0]={"[1, 2]"}',
        of="array",
    ),
    case(
        "jsonb[]", Sql("""ARRAY['null', NULL, '1.10', '{"a":1e400}', '[]']::jsonb[]"""), of="array"
    ),
    case("jsonb[]", r'{{1,"\"x\""},{[2],NULL}}', of="array"),
    case("xml[]", "{<a/>,NULL}", of="array"),
    case("date[]", "{2024-02-29,infinity,0044-03-15 BC,NULL}", of="array"),
    case("time[]", "{24:00:00,12:34:56.789012}", of="array"),
    case("timetz[]", "{12:34:56.789012-07:30}", of="array"),
    case("timestamp[]", "{2024-02-29 12:34:56.789012,-infinity}", of="array"),
    case("timestamptz[]", "{2024-02-29 12:34:56.789012+02,infinity}", of="array"),
    case("interval[]", "{1 day -00:00:01,infinity}", of="array"),
    case("bit(3)[]", "{001,NULL}", of="array"),
    case("varbit[]", '{0001,""}', of="array"),
    case("inet[]", "{192.0.2.1/24,::1}", of="array"),
    case("point[]", '{"(1,2)","(NaN,0)"}', of="array"),
    case("box[]", "{(1,1),(0,0);(2,2),(0,0)}", of="array"),
    case("int4range[]", '{"[1,3)",empty}', of="array"),
    case("int4multirange[]", '{"{[1,3),[5,7)}"}', of="array"),
    case("tsvector[]", '{"a b:1"}', of="array"),
    case("pg_lsn[]", "{16/B374D848}", of="array"),
    case("int2vector[]", '{"1 2","3"}', of="array"),
    case("mood[]", r'{sad,"so \"so\"",NULL,"null"}', "[0:0]={sad}", of="array"),
    case("dear[]", "{1.00,NULL}", of="array"),
    case("tags[]", Sql("""ARRAY['{a,b}', '[0:0]={"c d"}', NULL, '{}']::tags[]"""), of="array"),
    case(
        "pair[]", Sql(f"ARRAY[(1, {E}), NULL, (NULL, NULL)]::pair[]"), '[0:0]={"(1,x)"}', of="array"
    ),
    case("tags[]", '{{"{a}"},{"{b,c}"}}', "[2:2]={NULL}", of="array"),
    case("document[]", '{"{\\"a\\": [1.0]}","null",NULL}', '{{"[1]"},{"[2]"}}', of="array"),
    case("sure[]", '{"(1,x)"}', of="array"),
    case("bundle[]", Sql(f"ARRAY[{BUNDLE}]"), of="array"),
    case("hstore[]", "{a=>1,NULL}", of="array"),
    case("citext[]", "{A,b}", of="array"),
    case("floatrange[]", '{"[0.1,NaN]"}', of="array"),
    case("opaque[]", "{a,NULL}", of="array"),
)
