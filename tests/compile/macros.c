/* The headers after macros that programs and systems define: one capital letter each, and what Windows, curses and
   <complex.h> are known for. It compiles. */
#define A 1
#define B 1
#define C 1
#define D 1
#define E 1
#define F 1
#define G 1
#define H 1
#define I 1
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
#define complex _Complex
#define SCORESDE_IMPLEMENTATION
#include "../../scoresde.h"
#include "../../scoresde_nn.h"
#include "../../scoresde_solvers.h"
