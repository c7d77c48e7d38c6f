# C types for the functions of `access_log_parser.py`.
cimport cython
from libc.stdint cimport int64_t

cdef int _BLANK, _QUOTE, _SLASH, _BACKSLASH, _PLUS, _DASH, _ZERO, _COMMA, _COLON, _DOT, _HASH, _OPEN, _CLOSE, _QUESTION, _PERCENT
cdef int _LETTER_A, _LETTER_G, _LETTER_Z, _UPPER, _LAST, _CLOCK_SIZE, _PROTOCOL_SIZE, _LONGEST_METHOD, _LONGEST_SIZE
cdef const unsigned char[::1] _CLOCK, _PROTOCOL
cdef const int64_t[::1] _MONTHS, _MONTH_DAYS

@cython.locals(i=Py_ssize_t)
cdef bint _stands_at(const unsigned char[::1] buffer, Py_ssize_t place, const unsigned char[::1] text) noexcept

@cython.locals(place=Py_ssize_t, byte=int, is_odd=int)
cdef bint _is_plain(const unsigned char[::1] buffer, Py_ssize_t start, Py_ssize_t end) noexcept

@cython.locals(place=Py_ssize_t)
cdef Py_ssize_t _find(const unsigned char[::1] buffer, Py_ssize_t start, Py_ssize_t end, int byte) noexcept

cdef bint _is_digit(int byte) noexcept

@cython.locals(place=Py_ssize_t, value=int64_t)
cdef int64_t _number(const unsigned char[::1] buffer, Py_ssize_t start, Py_ssize_t count) noexcept

@cython.locals(era=int64_t, of_era=int64_t, of_year=int64_t)
cdef int64_t _days(int64_t year, int64_t month, int64_t day) noexcept

@cython.locals(
    i=Py_ssize_t, byte=int, mark=int, code=int64_t, month=Py_ssize_t, sign=int, day=int64_t, year=int64_t,
    hour=int64_t, minute=int64_t, second=int64_t, offset=int64_t, seconds=int64_t,
)
cdef int64_t _read_clock(const unsigned char[::1] buffer, Py_ssize_t start) noexcept

@cython.locals(target_end=Py_ssize_t)
cdef Py_ssize_t _read_target(const unsigned char[::1] buffer, Py_ssize_t method_end, Py_ssize_t close) noexcept

@cython.locals(place=Py_ssize_t)
cdef Py_ssize_t _read_size(const unsigned char[::1] buffer, Py_ssize_t close, Py_ssize_t end) noexcept

@cython.locals(place=Py_ssize_t)
cdef bint _is_host(const unsigned char[::1] buffer, Py_ssize_t start, Py_ssize_t end) noexcept

@cython.locals(place=Py_ssize_t, dots=int, digits=int)
cdef bint _is_ipv4(const unsigned char[::1] buffer, Py_ssize_t start, Py_ssize_t end) noexcept

@cython.locals(
    place=Py_ssize_t, byte=int, dots=Py_ssize_t, colons=Py_ssize_t, pairs=Py_ssize_t, length=Py_ssize_t,
    longest=Py_ssize_t,
)
cdef bint _is_odd_client(const unsigned char[::1] buffer, Py_ssize_t start, Py_ssize_t end) noexcept

@cython.locals(place=Py_ssize_t)
cdef bint _holds_opening(const unsigned char[::1] buffer, Py_ssize_t start, Py_ssize_t end) noexcept

@cython.locals(
    client=Py_ssize_t, second_end=Py_ssize_t, client_end=Py_ssize_t, ident_end=Py_ssize_t, clock=Py_ssize_t, quote=Py_ssize_t, received_at=int64_t,
    method_end=Py_ssize_t, place=Py_ssize_t, close=Py_ssize_t, size_end=Py_ssize_t, target_end=Py_ssize_t,
    agent=Py_ssize_t, agent_end=Py_ssize_t, referer_end=Py_ssize_t,
)
cdef bint _read_line(
    const unsigned char[::1] buffer, Py_ssize_t start, Py_ssize_t end, int64_t[:, ::1] found, Py_ssize_t line,
) noexcept

@cython.locals(place=Py_ssize_t)
cdef bint _holds(
    const unsigned char[::1] buffer, Py_ssize_t start, Py_ssize_t end, const unsigned char[::1] word,
) noexcept

@cython.locals(i=Py_ssize_t)
cpdef read_lines(
    const unsigned char[::1] buffer, const int64_t[::1] starts, const int64_t[::1] ends,
    const unsigned char[::1] word, int64_t[:, ::1] found, unsigned char[::1] kinds,
)
