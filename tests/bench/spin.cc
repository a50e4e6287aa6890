// SPDX-License-Identifier: MIT
// A CPU-bound program that counts its own iterations where others can read them.
// usage: spin COUNTER-FILE SECONDS
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

namespace
{

constexpr size_t counter_bytes = 4096;

uint64_t *open_counter(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    void *p = mmap(nullptr, counter_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return p == MAP_FAILED ? nullptr : static_cast<uint64_t *>(p);
}

struct Matrix {
    static constexpr size_t side = 24;
    std::vector<double> cells = std::vector<double>(side * side, 1.0);

    __attribute__((noinline)) double row_by_column(const Matrix &other, size_t row,
                                                   size_t column) const
    {
        double sum = 0;
        for (size_t k = 0; k < side; k++)
            sum += cells[row * side + k] * other.cells[k * side + column];
        return sum / side;
    }

    __attribute__((noinline)) void multiply(const Matrix &a, const Matrix &b)
    {
        for (size_t row = 0; row < side; row++)
            for (size_t column = 0; column < side; column++)
                cells[row * side + column] = a.row_by_column(b, row, column);
    }
};

} // namespace

int main(int argc, char **argv)
{
    uint64_t *counter = argc == 3 ? open_counter(argv[1]) : nullptr;
    if (!counter)
        return 2;
    alarm(static_cast<unsigned>(std::strtoul(argv[2], nullptr, 10)));

    Matrix a, b, product;
    for (;;) {
        product.multiply(a, b);
        __atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
    }
}
