# C types of the functions and constants of `byte_loops.py`.
cimport cython
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

cdef extern from *:
    """
    typedef unsigned __int128 uint128_t;
    """
    ctypedef unsigned long long uint128_t

cdef int _AMPERSAND, _EQUALS, _PERCENT, _PLUS, _BLANK, _ZERO, _LETTER_A, _LOWER, _INLINE
cdef uint64_t _BITS, _seed

cpdef set_seed(uint64_t seed)

@cython.locals(place=Py_ssize_t)
cdef Py_ssize_t _find(const unsigned char[::1] buffer, Py_ssize_t start, Py_ssize_t end, int byte) noexcept

@cython.locals(letter=int)
cdef int _digit(int byte) noexcept

@cython.locals(place=Py_ssize_t, byte=int, bits=int, high=int, low=int)
cdef (Py_ssize_t, Py_ssize_t, int) _decode(
    const unsigned char[::1] buffer, Py_ssize_t start, Py_ssize_t end, (int, int) stops, int blank,
    unsigned char[::1] decoded, Py_ssize_t written,
) noexcept

@cython.locals(i=Py_ssize_t, written=Py_ssize_t)
cpdef decode_percent(
    const unsigned char[::1] buffer, const int64_t[::1] starts, const int64_t[::1] ends,
    unsigned char[::1] decoded, int64_t[::1] decoded_ends,
)

@cython.locals(low=uint32_t, high=uint64_t)
cdef uint64_t _word(const unsigned char[::1] buffer, Py_ssize_t place) noexcept

@cython.locals(product=uint128_t)
cdef uint64_t _mixed(uint64_t digest, uint64_t word) noexcept

@cython.locals(place=Py_ssize_t, digest=uint64_t, word=uint64_t)
cdef uint64_t _hash(const unsigned char[::1] buffer, Py_ssize_t start, Py_ssize_t end) noexcept

@cython.locals(place=Py_ssize_t)
cdef bint _equal(const unsigned char[::1] buffer, Py_ssize_t first, Py_ssize_t start, Py_ssize_t end) noexcept

@cython.locals(first=Py_ssize_t, number=Py_ssize_t, slot=Py_ssize_t)
cdef Py_ssize_t _number_of(
    const unsigned char[::1] decoded, Py_ssize_t start, Py_ssize_t end,
    int64_t[:, ::1] spans, int32_t[::1] slots, Py_ssize_t count,
) noexcept

@cython.locals(
    row=Py_ssize_t, written=Py_ssize_t, count=Py_ssize_t, names=Py_ssize_t, place=Py_ssize_t, end=Py_ssize_t,
    name=Py_ssize_t, number=Py_ssize_t, found=Py_ssize_t, is_other=int,
)
cpdef split_forms(
    const unsigned char[::1] buffer, const int64_t[::1] form_ends, unsigned char[::1] decoded,
    int64_t[:, ::1] spans, int32_t[::1] slots, int64_t[:, ::1] pairs, int64_t[::1] suspects,
)

@cython.locals(i=Py_ssize_t, start=Py_ssize_t, end=Py_ssize_t, first=Py_ssize_t, slot=Py_ssize_t, count=Py_ssize_t)
cpdef number_texts(
    const unsigned char[::1] buffer, const int64_t[::1] starts, const int64_t[::1] ends, int32_t[::1] slots,
    int64_t[::1] firsts, int32_t[::1] numbers,
)

@cython.locals(i=Py_ssize_t, slot=Py_ssize_t, count=Py_ssize_t)
cpdef add_hashes(const uint64_t[::1] hashes, uint64_t[::1] slots, unsigned char[::1] repeated)

@cython.locals(
    i=Py_ssize_t, start=Py_ssize_t, length=Py_ssize_t, shown=Py_ssize_t, word=Py_ssize_t, byte=Py_ssize_t, value=uint32_t,
)
cpdef write_views(
    const unsigned char[::1] buffer, const int64_t[::1] starts, const int64_t[::1] ends, int part_bits,
    uint32_t[:, ::1] views,
)

@cython.locals(i=Py_ssize_t, place=Py_ssize_t, start=Py_ssize_t, length=Py_ssize_t, bits=int)
cpdef mark_bytes(
    const uint32_t[:, ::1] views, const unsigned char[:, ::1] texts, const unsigned char[::1] buffer, Py_ssize_t part,
    const unsigned char[::1] table, unsigned char[::1] marks,
)

@cython.locals(byte=int, size=Py_ssize_t, lowest=int, highest=int, following=Py_ssize_t)
cdef Py_ssize_t _character(const unsigned char[::1] buffer, Py_ssize_t place, Py_ssize_t end) noexcept

@cython.locals(i=Py_ssize_t, place=Py_ssize_t, end=Py_ssize_t, size=Py_ssize_t, count=Py_ssize_t)
cpdef find_malformed(
    const unsigned char[::1] buffer, const int64_t[::1] starts, const int64_t[::1] ends, int64_t[::1] malformed,
)
