// An append-only table that never moves its rows: growing it copies nothing, and large chunks come with their memory
// already mapped, so that a page fault (about 2 us) does not hit the loop every few dozen rows.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

namespace calibrig {

template <class T>
class Log {
    static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>);

public:
    Log() = default;
    Log(const Log&) = delete;
    Log& operator=(const Log&) = delete;
    ~Log() {
        for (const Chunk& chunk : chunks_) release(chunk);
    }

    void push_back(const T& row) {
        if (end_ == limit_) grow();
        ::new (static_cast<void*>(end_++)) T(row);
        ++size_;
    }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }

    // Rows from `first` on, in order.
    template <class Visit>
    void visit(Visit&& see, std::size_t first = 0) const {
        std::size_t begin = 0;
        for (const Chunk& chunk : chunks_) {
            const std::size_t rows = &chunk == &chunks_.back() ? size_ - begin : chunk.rows;
            for (std::size_t i = first > begin ? first - begin : 0; i < rows; ++i) see(chunk.data[i]);
            begin += rows;
        }
    }
    [[nodiscard]] const T& back() const noexcept { return end_[-1]; }

private:
    struct Chunk {
        T* data;
        std::size_t rows, bytes;
        bool mapped;
    };
    static constexpr std::size_t first_rows = 64;
    static constexpr std::size_t largest_bytes = std::size_t{1} << 22;
    static constexpr std::size_t mapped_from = std::size_t{1} << 16;

    void grow() {
        std::size_t rows = chunks_.empty() ? first_rows : 2 * chunks_.back().rows;
        if (rows * sizeof(T) > largest_bytes) rows = largest_bytes / sizeof(T);
        Chunk chunk{nullptr, rows, rows * sizeof(T), rows * sizeof(T) >= mapped_from};
        if (chunk.mapped) {
            void* memory = ::mmap(nullptr, chunk.bytes, PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
            if (memory == MAP_FAILED) throw std::bad_alloc();
            chunk.data = static_cast<T*>(memory);
        } else {
            chunk.data = static_cast<T*>(::operator new(chunk.bytes, std::align_val_t{alignof(T)}));
        }
        chunks_.push_back(chunk);
        end_ = chunk.data;
        limit_ = end_ + rows;
    }
    static void release(const Chunk& chunk) noexcept {
        if (chunk.mapped)
            ::munmap(chunk.data, chunk.bytes);
        else
            ::operator delete(chunk.data, std::align_val_t{alignof(T)});
    }

    std::vector<Chunk> chunks_;
    T* end_ = nullptr;
    T* limit_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace calibrig
