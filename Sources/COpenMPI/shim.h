// What shrink uses of MPI (MPI 3.1). The standard's constants are macros, which Swift does not see: they are inside
// of these functions. All return MPI_SUCCESS or an error code.
#pragma once
#define OMPI_SKIP_MPICXX 1
#include <mpi.h>

// Only the thread that calls this may call any other. Errors are returned instead of ending the process.
static inline int shrink_mpi_start(int *rank, int *size) {
    int level, error = MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level);
    if (error == MPI_SUCCESS && level < MPI_THREAD_FUNNELED) error = MPI_ERR_OTHER;
    if (error == MPI_SUCCESS) error = MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    if (error == MPI_SUCCESS) error = MPI_Comm_rank(MPI_COMM_WORLD, rank);
    if (error == MPI_SUCCESS) error = MPI_Comm_size(MPI_COMM_WORLD, size);
    return error;
}

static inline int shrink_mpi_finish(void) { return MPI_Finalize(); }

static inline int shrink_mpi_abort(int code) { return MPI_Abort(MPI_COMM_WORLD, code); }

static inline int shrink_mpi_sum_doubles(double *numbers, int count) {
    return MPI_Allreduce(MPI_IN_PLACE, numbers, count, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
}

static inline int shrink_mpi_minimum(int *number) {
    return MPI_Allreduce(MPI_IN_PLACE, number, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
}

static inline int shrink_mpi_broadcast(void *bytes, int count, int root) {
    return MPI_Bcast(bytes, count, MPI_BYTE, root, MPI_COMM_WORLD);
}

// Begins a sum in place; the memory is MPI's until the request is done.
static inline int shrink_mpi_begin_sum(float *numbers, int count, MPI_Request *request) {
    return MPI_Iallreduce(MPI_IN_PLACE, numbers, count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD, request);
}

// Lets what has begun go on.
static inline int shrink_mpi_test_all(MPI_Request *requests, int count) {
    int done;
    return MPI_Testall(count, requests, &done, MPI_STATUSES_IGNORE);
}

static inline int shrink_mpi_wait_all(MPI_Request *requests, int count) {
    return MPI_Waitall(count, requests, MPI_STATUSES_IGNORE);
}

// `text` has room for MPI_MAX_ERROR_STRING bytes.
static inline void shrink_mpi_describe(int error, char *text) {
    int length;
    if (MPI_Error_string(error, text, &length) != MPI_SUCCESS) text[0] = 0;
}

enum { shrink_mpi_description_size = MPI_MAX_ERROR_STRING };
