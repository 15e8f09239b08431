/* The headers after macros that programs and systems define: one capital letter each, and what Windows, X11, curses,
   Mac OS, Perl, R, BSD, <complex.h> and <tgmath.h> are known for. It compiles. */
#include <tgmath.h>

#define A 1
#define B 1
#define C 1
#define D 1
#define E 1
#define F 1
#define G 1
#define H 1
#define J 1
#define K 1
#define M 1
#define N 1000
#define O 1
#define P 1
#define Q 1
#define R 1
#define S 1
#define T 1
#define U 1
#define V 1
#define W 1
#define X 1
#define Y 1
#define Z 1
#define PI 3
#define OK 0
#define ERR 1
#define ERROR 0
#define TRUE 1
#define FALSE 0
#define IN
#define OUT
#define OPTIONAL
#define CONST const
#define near
#define far
#define small char
#define interface struct
#define min(a, b) ((a) < (b) ? (a) : (b))
#define max(a, b) ((a) > (b) ? (a) : (b))
#define MIN(a, b) min(a, b)
#define MAX(a, b) max(a, b)
#define linux 1
#define unix 1
#define index strchr
#define major(x) (x)
#define minor(x) (x)
#define bit(n) (1u << (n))
#define swap(a, b) ((a) ^ (b))
#define check(x) (x)
#define verify(x) (x)
#define require(x) (x)
#define LOG(x) (x)
#define CHECK(x) (x)
#define None 0L
#define Status int
#define Bool int
#define Success 0
#define clear() 0
#define move(y, x) ((y) + (x))
#define echo 1
#define error Rf_error
#define warning Rf_warning
#define length Rf_length
#define seed Perl_seed
#define DELETE 0x10000L
#define bool int
#define true 1
#define false 0
#define SCORESDE_IMPLEMENTATION
#include "../../scoresde.h"
#include "../../scoresde_nn.h"
#include "../../scoresde_solvers.h"
